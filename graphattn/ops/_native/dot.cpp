// Scaled inner products (Transformer): score tau <q_i, k_j + f_e> + b_e; the sum takes v_j + f_e.
//
// The mathematics is that of graphattn/ops/dot/reference.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: values v and keys k of the sources, queries q of the destinations.
template <class T, class I, int H>
struct Dot : Operands<T, I, H> {
  using Base = Operands<T, I, H>;
  using A = typename Base::A;
  using Base::a, Base::graph, Base::size, Base::heads, Base::width;
  static constexpr bool kEdgeValues = true;

  const A scale;
  explicit Dot(const GraphattnAttention& args) : Base(args), scale(static_cast<A>(args.setting)) {}

  // out[h] = tau <q, k + f> + b
  void score(const T* q, const T* k, int64_t position, A* out) const {
    const T* f = this->edge_x(position);
    const auto terms = [&](auto lanes, int64_t first) {
      typename Vec<A, lanes>::Type sum = {};
      for (int64_t c = first; c < first + size.channels; c += lanes) {
        const auto row = load_vec<lanes>(k + c);
        sum += load_vec<lanes>(q + c) * (f == nullptr ? row : row + load_vec<lanes>(f + c));
      }
      return sum * scale;
    };
    head_sums(size, terms, out);
    if (const A* b = this->edge_score(position))
      for (int64_t h = 0; h < heads; ++h) out[h] += b[h];
  }

  void score_row(int64_t i, int64_t begin, int64_t degree, A* p) const {
    const I* col = graph.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < graph.num_edges)
        prefetch(this->node(1, col[e + kAhead]), width * sizeof(T));
      score(this->node(2, i), this->node(1, col[e]), begin + e, p + e * heads);
    }
  }

  void prefetch_destination(int64_t i) const { prefetch(this->node(2, i), width * sizeof(T)); }
  void score_edge(int64_t j, int64_t i, int64_t position, const A*, A* s) const {
    score(this->node(2, i), this->node(1, j), position, s);
  }

  int64_t source_size() const { return width; }
  void add_source(int64_t, int64_t i, int64_t position, const A* ds, const A* weight, A* acc) const {
    const T *q = this->node(2, i), *g = this->grad(i);
    T* df = a.grad_edge_x == nullptr
                ? nullptr
                : static_cast<T*>(a.grad_edge_x) + graph.edge[position] * width;
    A* dk = acc + width;
    with_lanes<A>(size, [&](auto lanes) {
      constexpr int W = lanes;
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = h * size.channels; c < (h + 1) * size.channels; c += W) {
          const auto key = (ds[h] * scale) * load_vec<W>(q + c);
          store_vec<W>(load_vec<W>(dk + c) + key, dk + c);
          if (df != nullptr) store_vec<W>(key + weight[h] * load_vec<W>(g + c), df + c);
        }
    });
  }
  void store_source(int64_t j, const A* acc) const {
    T* dk = this->template grad_node<T>(1, j);
    for (int64_t c = 0; c < width; ++c) store(acc[width + c], dk + c);
  }

  int64_t destination_size() const { return width; }
  void add_destination(int64_t, int64_t begin, int64_t end, const A* ds, A* acc, A* more) const {
    const int64_t degree = end - begin, ahead = graph.num_edges - begin;
    const A* weight = ds + begin * heads;
    weighted_sum(size, degree, ahead, graph.col + begin, weight, this->node(1, 0), a.stride[1], acc);
    if (a.edge_x == nullptr) return;
    const T* edge_x = static_cast<const T*>(a.edge_x);
    weighted_sum(size, degree, ahead, graph.edge + begin, weight, edge_x, width, more);
    for (int64_t c = 0; c < width; ++c) acc[c] += more[c];
  }
  void store_destination(int64_t i, const A* acc) const {
    T* dq = this->template grad_node<T>(2, i);
    for (int64_t c = 0; c < width; ++c) store(acc[c] * scale, dq + c);
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(dot)(const GraphattnAttention* args, int dtype, int index_bytes,
                                         int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Dot>(args, dtype, index_bytes, backward);
}
