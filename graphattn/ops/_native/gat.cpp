// Additive attention (GAT): scores, softmax over the edges of a row, weighted sum, and gradients.
//
// The mathematics is that of graphattn/ops/gat/reference.py. Nothing of size E x C is ever stored;
// forward keeps the largest score and the sum of each row, backward recomputes the coefficients from it.

#include "rows.hpp"

// Arguments of both directions; mirrored by ctypes in graphattn/ops/gat/cpu.py. Strides count
// entries from one node's row to the next.
struct GraphattnGat {
  GraphattnGraph graph;
  int64_t heads, channels, threads;
  double slope, dropout;
  uint64_t seed;
  const void *x, *score_src, *score_dst, *edge_score;  // edge_score may be null
  int64_t x_stride, score_src_stride, score_dst_stride;
  void *out, *norm;  // norm: N_dst x 2H, shift and 1 / sum of the softmax side by side
  const void* grad;
  void *grad_x, *grad_score_src, *grad_score_dst, *grad_edge_score;  // the last may be null
  void *scratch;  // E x H: score gradients in the order of rows
  void *record;   // N_dst x 4H: score_dst, norm and <grad, out> side by side
};

namespace GRAPHATTN_ISA {

template <class T, class I, int H>
void gat_forward(const GraphattnGat& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const Dropout dropout(a.dropout, a.seed);
  const T* x = static_cast<const T*>(a.x);
  const A* u = static_cast<const A*>(a.score_src);
  const A* w = static_cast<const A*>(a.score_dst);
  const A* r = static_cast<const A*>(a.edge_score);
  const A slope = static_cast<A>(a.slope);
  const int64_t heads = H > 0 ? H : a.heads, width = size.width();
  const int64_t scratch = g.largest_row() * heads + 16 + 2 * width + heads;
  for_rows<A>(g.num_dst, a.threads, scratch, [&](int64_t i, A* buffer) {
    const int64_t begin = g.rowptr[i], degree = g.rowptr[i + 1] - begin;
    A *sums = buffer, *p = sums + width;
    A* shift = static_cast<A*>(a.norm) + i * 2 * heads;
    A* inverse = shift + heads;
    const I* col = g.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      const A* uj = u + col[e] * a.score_src_stride;
      const A* wi = w + i * a.score_dst_stride;
      if (r == nullptr) {
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) p[e * heads + h] = leaky_relu(uj[h] + wi[h], slope);
      } else {
        const A* re = r + g.edge[begin + e] * heads;
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h)
          p[e * heads + h] = leaky_relu(uj[h] + wi[h] + re[h], slope);
      }
    }
    softmax_row(degree, heads, p, shift, inverse);
    drop(dropout, static_cast<uint64_t>(begin) * heads, degree * heads, p);
    weighted_sum(size, degree, col, p, x, a.x_stride, sums);
    store_scaled(size, sums, inverse, static_cast<T*>(a.out) + i * width);
  });
}

// Gradients by source, over the transposed rows; each chunk of edges in three steps, of which the
// middle one runs over (edge, head) in flat arrays.
template <class T, class I, int H>
void gat_backward_sources(const GraphattnGat& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const Dropout dropout(a.dropout, a.seed);
  const T* x = static_cast<const T*>(a.x);
  const T* grad = static_cast<const T*>(a.grad);
  const A* u = static_cast<const A*>(a.score_src);
  const A* r = static_cast<const A*>(a.edge_score);
  const A* record = static_cast<const A*>(a.record);
  A* dz = static_cast<A*>(a.scratch);
  const A slope = static_cast<A>(a.slope);
  const int64_t heads = H > 0 ? H : a.heads, width = size.width(), flat = kChunk * heads;
  for_rows<A>(g.num_src, a.threads, 3 * width + 9 * flat, [&](int64_t j, A* buffer) {
    A *xj = buffer, *sums = xj + width, *part = sums + width;
    A *dot = part + width, *z = dot + flat, *shift = z + flat, *mean = shift + flat;
    A *inverse = mean + flat, *factor = inverse + flat, *weight = factor + flat;
    uint32_t* low = reinterpret_cast<uint32_t*>(weight + flat);
    uint32_t* high = low + flat;
    A* du = static_cast<A*>(a.grad_score_src) + j * heads;
    for (int64_t c = 0; c < width; ++c) xj[c] = load(x[j * a.x_stride + c]), sums[c] = 0;
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) du[h] = 0;
    const A* uj = u + j * a.score_src_stride;
    for (int64_t first = g.tptr[j]; first < g.tptr[j + 1]; first += kChunk) {
      const int64_t count = std::min<int64_t>(kChunk, g.tptr[j + 1] - first);
      const I* row = g.trow + first;
      const I* position = g.position + first;
      for (int64_t t = 0; t < count; ++t) {
        // Beyond the row the next source's edges follow.
        if (first + t + kAhead < g.num_edges) {
          prefetch(grad + row[t + kAhead] * width, width * sizeof(T));
          prefetch(record + row[t + kAhead] * 4 * heads, 4 * heads * sizeof(A));
        }
        dots(size, grad + row[t] * width, xj, dot + t * heads);
        const A* rec = record + row[t] * 4 * heads;
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) {
          z[t * heads + h] = uj[h] + rec[h];
          shift[t * heads + h] = rec[heads + h];
          inverse[t * heads + h] = rec[2 * heads + h];
          mean[t * heads + h] = rec[3 * heads + h];
        }
        if (r != nullptr) {
          const A* re = r + g.edge[position[t]] * heads;
#pragma omp simd
          for (int64_t h = 0; h < heads; ++h) z[t * heads + h] += re[h];
        }
      }
      drop_factors(dropout, position, count, heads, low, high, factor);
#pragma omp simd
      for (int64_t k = 0; k < count * heads; ++k) {
        const A alpha = fast_exp(leaky_relu(z[k], slope) - shift[k]) * inverse[k];
        weight[k] = factor[k] * alpha;
        dot[k] = alpha * (factor[k] * dot[k] - mean[k]) * (z[k] > A(0) ? A(1) : slope);
      }
      for (int64_t t = 0; t < count; ++t) {
        A* place = dz + position[t] * heads;
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) {
          place[h] = dot[t * heads + h];
          du[h] += dot[t * heads + h];
        }
      }
      weighted_sum(size, count, row, weight, grad, width, part);
      for (int64_t c = 0; c < width; ++c) sums[c] += part[c];
    }
    T* dx = static_cast<T*>(a.grad_x) + j * width;
    for (int64_t c = 0; c < width; ++c) store(sums[c], dx + c);
  });
}

template <class T, class I, int H>
void gat_backward(const GraphattnGat& a) {
  using A = Acc<T>;
  const Graph<I> g(a.graph);
  const Layout size{H > 0 ? H : a.heads, a.channels};
  const int64_t heads = H > 0 ? H : a.heads, width = size.width();
  const T* grad = static_cast<const T*>(a.grad);
  const T* out = static_cast<const T*>(a.out);
  for_rows<A>(g.num_dst, a.threads, width, [&](int64_t i, A* row) {
    A* rec = static_cast<A*>(a.record) + i * 4 * heads;
    const A* w = static_cast<const A*>(a.score_dst) + i * a.score_dst_stride;
    const A* norm = static_cast<const A*>(a.norm) + i * 2 * heads;
    for (int64_t c = 0; c < width; ++c) row[c] = load(out[i * width + c]);
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) rec[h] = w[h];
#pragma omp simd
    for (int64_t h = 0; h < 2 * heads; ++h) rec[heads + h] = norm[h];
    dots(size, grad + i * width, row, rec + 3 * heads);
  });
  gat_backward_sources<T, I, H>(a);
  const A* dz = static_cast<const A*>(a.scratch);
  A* dr = static_cast<A*>(a.grad_edge_score);
  for_rows<A>(g.num_dst, a.threads, 0, [&](int64_t i, A*) {
    A* dw = static_cast<A*>(a.grad_score_dst) + i * heads;
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) dw[h] = 0;
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p) {
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) dw[h] += dz[p * heads + h];
      if (dr != nullptr)
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) dr[g.edge[p] * heads + h] = dz[p * heads + h];
    }
  });
}

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gat)(const GraphattnGat* args, int dtype, int index_bytes,
                                         int backward) {
  using namespace GRAPHATTN_ISA;
  return for_type(dtype, index_bytes, [&](auto value, auto index) {
    using T = decltype(value);
    using I = decltype(index);
    with_heads<T>(args->heads, [&](auto heads) {
      constexpr int H = heads;
      backward ? gat_backward<T, I, H>(*args) : gat_forward<T, I, H>(*args);
    });
  });
}
