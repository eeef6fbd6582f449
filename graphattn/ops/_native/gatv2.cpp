// Dynamic attention (GATv2): score <att, leaky_relu(l_j + r_i + f_e)>. It needs both ends' whole
// rows, so an edge costs a gather of them in every pass.
//
// The mathematics is that of graphattn/ops/gatv2/reference.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: l of the sources, which are also the features; r of the destinations; att, H x C in
// `A`. The gradient of att is a sum per block of sources, to be added up in their order.
template <class T, class I, int H>
struct Dynamic : Operands<T, I, H> {
  using Base = Operands<T, I, H>;
  using A = typename Base::A;
  using Base::a, Base::graph, Base::size, Base::heads, Base::width;

  const A negative_slope;
  const A* att;
  explicit Dynamic(const GraphattnAttention& args)
      : Base(args),
        negative_slope(static_cast<A>(args.setting)),
        att(static_cast<const A*>(args.node[2])) {}

  // l + r + f of W channels.
  template <int W>
  static typename Vec<A, W>::Type pre_activation(const T* l, const T* r, const T* f, int64_t c) {
    const auto t = load_vec<W>(l + c) + load_vec<W>(r + c);
    return f == nullptr ? t : t + load_vec<W>(f + c);
  }

  void score(const T* l, const T* r, const T* f, A* out) const {
    const auto terms = [&](auto lanes, int64_t first) {
      typename Vec<A, lanes>::Type sum = {};
      for (int64_t c = first; c < first + size.channels; c += lanes) {
        const auto t = pre_activation<lanes>(l, r, f, c);
        sum += load_vec<lanes>(att + c) * (t > 0 ? t : t * negative_slope);
      }
      return sum;
    };
    head_sums(size, terms, out);
  }

  // sum += ds[h] * att * leaky_relu'(l + r + f); and with `activated`, that += ds[h] *
  // leaky_relu(l + r + f).
  void add_gradient(const T* l, const T* r, const T* f, const A* ds, A* sum, A* activated) const {
    with_lanes<A>(size, [&](auto lanes) {
      constexpr int W = lanes;
      using V = typename Vec<A, W>::Type;
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = h * size.channels; c < (h + 1) * size.channels; c += W) {
          const V t = pre_activation<W>(l, r, f, c);
          const V weight = ds[h] * load_vec<W>(att + c);
          store_vec<W>(load_vec<W>(sum + c) + (t > 0 ? weight : weight * negative_slope), sum + c);
          if (activated == nullptr) continue;
          const V y = t > 0 ? t : t * negative_slope;
          store_vec<W>(load_vec<W>(activated + c) + ds[h] * y, activated + c);
        }
    });
  }

  void score_row(int64_t i, int64_t begin, int64_t degree, A* p) const {
    const I* col = graph.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < graph.num_edges)
        prefetch(this->node(0, col[e + kAhead]), width * sizeof(T));
      score(this->node(0, col[e]), this->node(1, i), this->edge_x(begin + e),
            p + e * heads);
    }
  }

  void prefetch_destination(int64_t i) const { prefetch(this->node(1, i), width * sizeof(T)); }
  void score_edge(int64_t j, int64_t i, int64_t position, const A*, A* s) const {
    score(this->node(0, j), this->node(1, i), this->edge_x(position), s);
  }

  int64_t source_size() const { return width; }
  void add_source(int64_t j, int64_t i, int64_t position, const A* ds, const A*, A* acc) const {
    add_gradient(this->node(0, j), this->node(1, i), this->edge_x(position), ds, acc,
                 acc + width);
  }
  void store_source(int64_t j, const A* acc) const {
    A* att_sums = static_cast<A*>(a.grad_node[2]) + j / kBlock * width;
    for (int64_t c = 0; c < width; ++c) att_sums[c] += acc[width + c];
  }

  int64_t destination_size() const { return width; }
  void add_destination(int64_t i, int64_t begin, int64_t end, const A* ds, A* acc, A* one) const {
    for (int64_t p = begin; p < end; ++p) {
      if (p + kAhead < graph.num_edges)
        prefetch(this->node(0, graph.col[p + kAhead]), width * sizeof(T));
      const T *l = this->node(0, graph.col[p]), *r = this->node(1, i);
      const T* f = this->edge_x(p);
      if (a.grad_edge_x == nullptr) {
        add_gradient(l, r, f, ds + p * heads, acc, nullptr);
        continue;
      }
      std::fill(one, one + width, A(0));
      add_gradient(l, r, f, ds + p * heads, one, nullptr);
      T* df = static_cast<T*>(a.grad_edge_x) + graph.edge[p] * width;
      for (int64_t c = 0; c < width; ++c) store(one[c], df + c), acc[c] += one[c];
    }
  }
  void store_destination(int64_t i, const A* acc) const {
    T* dr = this->template grad_node<T>(1, i);
    for (int64_t c = 0; c < width; ++c) store(acc[c], dr + c);
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gatv2)(const GraphattnAttention* args, int dtype,
                                           int index_bytes, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Dynamic>(args, dtype, index_bytes, backward);
}
