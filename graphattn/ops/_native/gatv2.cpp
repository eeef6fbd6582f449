// Dynamic attention (GATv2): the score needs both ends' whole rows, so an edge costs a gather of
// them in every pass.
//
// The mathematics is that of graphattn/ops/gatv2/reference.py.

#include "rows.hpp"

// Arguments of both directions; mirrored by ctypes in graphattn/ops/gatv2/cpu.py. Strides count
// entries from one node's row to the next.
struct GraphattnGatv2 {
  GraphattnGraph graph;
  int64_t heads, channels, threads;
  double slope, dropout;
  uint64_t seed;
  const void *x_src, *x_dst, *att, *edge_x;  // edge_x may be null
  int64_t x_src_stride, x_dst_stride;
  void *out, *norm;  // norm: N_dst x 2H, shift and 1 / sum of the softmax side by side
  const void* grad;
  void *grad_x_src, *grad_x_dst, *grad_edge_x;  // the last may be null
  void *grad_att;  // blocks of 64 sources x HC, to be summed in their order
  void *scratch;   // E x H: score gradients in the order of rows
  void *mean;      // N_dst x H: <grad, out>
};

namespace GRAPHATTN_ISA {

// One edge's pre-activation in W channels: source + destination + edge.
template <int W, class T>
typename Vec<Acc<T>, W>::Type pre_activation(const T* src, const T* dst, const T* edge, int64_t c) {
  auto t = load_vec<W>(src + c) + load_vec<W>(dst + c);
  return edge == nullptr ? t : t + load_vec<W>(edge + c);
}

// out[h] = <att[h, :], leaky_relu(src + dst + edge)[h, :]>
template <class T>
void score(const Layout& size, const T* src, const T* dst, const T* edge, const Acc<T>* att,
           Acc<T> slope, Acc<T>* out) {
  with_lanes(size, [&](auto lanes) {
    constexpr int W = lanes;
    for (int64_t h = 0; h < size.heads; ++h) {
      typename Vec<Acc<T>, W>::Type sum = {};
      for (int64_t c = h * size.channels; c < (h + 1) * size.channels; c += W) {
        const auto t = pre_activation<W>(src, dst, edge, c);
        sum += load_vec<W>(att + c) * (t > 0 ? t : t * slope);
      }
      out[h] = lane_sum<Acc<T>, W>(sum);
    }
  });
}

// sum += ds[h] * att * leaky_relu'(src + dst + edge); and with `activated`, that += ds[h] *
// leaky_relu(src + dst + edge).
template <class T>
void add_score_gradient(const Layout& size, const T* src, const T* dst, const T* edge,
                        const Acc<T>* att, Acc<T> slope, const Acc<T>* ds, Acc<T>* sum,
                        Acc<T>* activated) {
  with_lanes(size, [&](auto lanes) {
    constexpr int W = lanes;
    using V = typename Vec<Acc<T>, W>::Type;
    for (int64_t h = 0; h < size.heads; ++h) {
      for (int64_t c = h * size.channels; c < (h + 1) * size.channels; c += W) {
        const V t = pre_activation<W>(src, dst, edge, c);
        const V weight = ds[h] * load_vec<W>(att + c);
        store_vec<W>(load_vec<W>(sum + c) + (t > 0 ? weight : weight * slope), sum + c);
        if (activated != nullptr) {
          const V y = t > 0 ? t : t * slope;
          store_vec<W>(load_vec<W>(activated + c) + ds[h] * y, activated + c);
        }
      }
    }
  });
}

template <class T>
const T* edge_row(const T* edge_x, int64_t edge, int64_t width) {
  return edge_x == nullptr ? nullptr : edge_x + edge * width;
}

template <class T, class I, int H>
void gatv2_forward(const GraphattnGatv2& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const Dropout dropout(a.dropout, a.seed);
  const T* x_src = static_cast<const T*>(a.x_src);
  const T* x_dst = static_cast<const T*>(a.x_dst);
  const T* edge_x = static_cast<const T*>(a.edge_x);
  const A* att = static_cast<const A*>(a.att);
  const A slope = static_cast<A>(a.slope);
  const int64_t heads = H > 0 ? H : a.heads, width = size.width();
  const int64_t scratch = g.largest_row() * heads + 16 + width + heads;
  for_rows<A>(g.num_dst, a.threads, scratch, [&](int64_t i, A* buffer) {
    const int64_t begin = g.rowptr[i], degree = g.rowptr[i + 1] - begin;
    A *sums = buffer, *p = sums + width;
    A* shift = static_cast<A*>(a.norm) + i * 2 * heads;
    A* inverse = shift + heads;
    const I* col = g.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < g.num_edges)
        prefetch(x_src + col[e + kAhead] * a.x_src_stride, width * sizeof(T));
      score(size, x_src + col[e] * a.x_src_stride, x_dst + i * a.x_dst_stride,
            edge_row(edge_x, g.edge[begin + e], width), att, slope, p + e * heads);
    }
    softmax_row(degree, heads, p, shift, inverse);
    drop(dropout, static_cast<uint64_t>(begin) * heads, degree * heads, p);
    weighted_sum(size, degree, col, p, x_src, a.x_src_stride, sums);
    store_scaled(size, sums, inverse, static_cast<T*>(a.out) + i * width);
  });
}

template <class T, class I, int H>
void gatv2_backward_sources(const GraphattnGatv2& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const Dropout dropout(a.dropout, a.seed);
  const T* x_src = static_cast<const T*>(a.x_src);
  const T* x_dst = static_cast<const T*>(a.x_dst);
  const T* edge_x = static_cast<const T*>(a.edge_x);
  const T* grad = static_cast<const T*>(a.grad);
  const A* att = static_cast<const A*>(a.att);
  const A* norm = static_cast<const A*>(a.norm);
  const A* mean = static_cast<const A*>(a.mean);
  A* scratch = static_cast<A*>(a.scratch);
  const A slope = static_cast<A>(a.slope);
  const int64_t heads = H > 0 ? H : a.heads, width = size.width(), flat = kChunk * heads;
  for_rows<A>(g.num_src, a.threads, 3 * width + 9 * flat, [&](int64_t j, A* buffer) {
    A *row_j = buffer, *sums = row_j + width, *part = sums + width;
    A *dot = part + width, *s = dot + flat, *m = s + flat, *shift = m + flat;
    A *inverse = shift + flat, *factor = inverse + flat, *weight = factor + flat;
    uint32_t* low = reinterpret_cast<uint32_t*>(weight + flat);
    uint32_t* high = low + flat;
    A* grad_att = static_cast<A*>(a.grad_att) + j / kBlock * width;
    if (j % kBlock == 0) std::fill(grad_att, grad_att + width, A(0));
    const T* xj = x_src + j * a.x_src_stride;
    for (int64_t c = 0; c < width; ++c) row_j[c] = load(xj[c]), sums[c] = 0;
    for (int64_t first = g.tptr[j]; first < g.tptr[j + 1]; first += kChunk) {
      const int64_t count = std::min<int64_t>(kChunk, g.tptr[j + 1] - first);
      const I *row = g.trow + first, *position = g.position + first;
      for (int64_t t = 0; t < count; ++t) {
        if (first + t + kAhead < g.num_edges) {
          prefetch(grad + row[t + kAhead] * width, width * sizeof(T));
          prefetch(x_dst + row[t + kAhead] * a.x_dst_stride, width * sizeof(T));
        }
        dots(size, grad + row[t] * width, row_j, dot + t * heads);
        score(size, xj, x_dst + row[t] * a.x_dst_stride,
              edge_row(edge_x, g.edge[position[t]], width), att, slope, s + t * heads);
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) {
          shift[t * heads + h] = norm[row[t] * 2 * heads + h];
          inverse[t * heads + h] = norm[(row[t] * 2 + 1) * heads + h];
          m[t * heads + h] = mean[row[t] * heads + h];
        }
      }
      drop_factors(dropout, position, count, heads, low, high, factor);
#pragma omp simd
      for (int64_t k = 0; k < count * heads; ++k) {
        const A alpha = fast_exp(s[k] - shift[k]) * inverse[k];
        weight[k] = factor[k] * alpha;
        dot[k] = alpha * (factor[k] * dot[k] - m[k]);
      }
      weighted_sum(size, count, row, weight, grad, width, part);
      for (int64_t c = 0; c < width; ++c) sums[c] += part[c];
      for (int64_t t = 0; t < count; ++t) {
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) scratch[position[t] * heads + h] = dot[t * heads + h];
        add_score_gradient(size, xj, x_dst + row[t] * a.x_dst_stride,
                           edge_row(edge_x, g.edge[position[t]], width), att, slope,
                           dot + t * heads, sums, grad_att);
      }
    }
    T* out = static_cast<T*>(a.grad_x_src) + j * width;
    for (int64_t c = 0; c < width; ++c) store(sums[c], out + c);
  });
}

template <class T, class I, int H>
void gatv2_backward(const GraphattnGatv2& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const int64_t heads = H > 0 ? H : a.heads, width = size.width();
  const T* x_src = static_cast<const T*>(a.x_src);
  const T* edge_x = static_cast<const T*>(a.edge_x);
  const A* att = static_cast<const A*>(a.att);
  const A* ds = static_cast<const A*>(a.scratch);
  const A slope = static_cast<A>(a.slope);
  mean_gradients<T>(size, g.num_dst, a.threads, a.grad, a.out, a.mean);
  gatv2_backward_sources<T, I, H>(a);
  for_rows<A>(g.num_dst, a.threads, 2 * width, [&](int64_t i, A* sums) {
    A* one = sums + width;
    std::fill(sums, sums + width, A(0));
    const T* xi = static_cast<const T*>(a.x_dst) + i * a.x_dst_stride;
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p) {
      if (p + kAhead < g.num_edges)
        prefetch(x_src + g.col[p + kAhead] * a.x_src_stride, width * sizeof(T));
      const T* xj = x_src + g.col[p] * a.x_src_stride;
      const T* edge = edge_row(edge_x, g.edge[p], width);
      if (a.grad_edge_x == nullptr) {
        add_score_gradient<T>(size, xj, xi, edge, att, slope, ds + p * heads, sums, nullptr);
        continue;
      }
      std::fill(one, one + width, A(0));
      add_score_gradient<T>(size, xj, xi, edge, att, slope, ds + p * heads, one, nullptr);
      T* out = static_cast<T*>(a.grad_edge_x) + g.edge[p] * width;
      for (int64_t c = 0; c < width; ++c) store(one[c], out + c), sums[c] += one[c];
    }
    T* out = static_cast<T*>(a.grad_x_dst) + i * width;
    for (int64_t c = 0; c < width; ++c) store(sums[c], out + c);
  });
}

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gatv2)(const GraphattnGatv2* args, int dtype, int index_bytes,
                                           int backward) {
  using namespace GRAPHATTN_ISA;
  return for_type(dtype, index_bytes, [&](auto value, auto index) {
    using T = decltype(value);
    using I = decltype(index);
    with_heads<T>(args->heads, [&](auto heads) {
      constexpr int H = heads;
      backward ? gatv2_backward<T, I, H>(*args) : gatv2_forward<T, I, H>(*args);
    });
  });
}
