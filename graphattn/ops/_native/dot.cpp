// Scaled inner products (Transformer): score tau <q_i, k_j + f_e> + b_e; the sum takes v_j + f_e.
//
// The mathematics is that of graphattn/ops/attend/dot_score.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: values v and keys k of the sources, queries q of the destinations.
template <class A>
struct Dot : Operands<A> {
  using Base = Operands<A>;
  using Base::a, Base::graph, Base::size, Base::heads, Base::width;
  static constexpr bool kEdgeValues = true;

  const A scale;
  explicit Dot(const GraphattnAttention& args) : Base(args), scale(static_cast<A>(args.setting)) {}

  void score_row(int64_t i, int64_t begin, int64_t degree, A* p) const {
    const int32_t* col = graph.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < graph.num_edges)
        prefetch(this->node(1, col[e + kAhead]), width * sizeof(A));
      score(this->node(2, i), this->node(1, col[e]), begin + e, p + e * heads);
    }
    this->add_edge_scores(degree, [begin](int64_t e) { return begin + e; }, p);
  }
  template <class Record>
  void score_column(int64_t j, int64_t t0, int64_t count, A* z, const Record&) const {
    for (int64_t t = 0; t < count; ++t)
      score(this->node(2, graph.trow[t0 + t]), this->node(1, j), graph.position[t0 + t], z + t * heads);
    this->add_edge_scores(count, [&](int64_t t) { return graph.position[t0 + t]; }, z);
  }
  void prefetch_destination(int64_t i) const { prefetch(this->node(2, i), width * sizeof(A)); }
  // <g_i, v_j + f_e>
  void dot_edge(const A* v, int64_t i, int64_t position, A* out) const {
    const A *g = this->grad(i), *f = this->edge_x(position);
    if (f == nullptr) return dots(size, g, v, out);
    const auto terms = [&](auto lanes, int64_t first, int64_t last) {
      Pack<A, lanes> sum = {};
      for (int64_t c = first; c < last; c += lanes)
        sum += load_pack<lanes>(g + c) * (load_pack<lanes>(v + c) + load_pack<lanes>(f + c));
      return sum;
    };
    head_sums(size, terms, out);
  }

  int64_t source_size() const { return width; }
  void add_source(int64_t, int64_t t0, int64_t count, const A* ds, const A* weight, A* acc,
                  A* more) const {
    const int32_t* row = graph.trow + t0;
    weighted_sum(size, count, count, row, ds, this->node(2, 0), a.stride[2], more);
    for (int64_t c = 0; c < width; ++c) acc[width + c] += more[c];
    if (a.grad_edge_x == nullptr) return;
    for (int64_t t = 0; t < count; ++t) {
      const A *q = this->node(2, row[t]), *g = a.grad == nullptr ? nullptr : this->grad(row[t]);
      A* df = this->grad_edge_x(graph.position[t0 + t]);
      for (int64_t c = 0; c < width; ++c) {
        const int64_t k = t * heads + c / size.channels;
        df[c] = (ds[k] * scale) * q[c] + (g == nullptr ? A(0) : weight[k] * g[c]);
      }
    }
  }
  void store_source(int64_t j, A* acc, bool more) const {
    for (int64_t c = 0; c < width; ++c) acc[width + c] *= scale;
    this->keep(acc + width, more, this->grad_node(1, j));
  }

  int64_t destination_size() const { return width; }
  void add_destination(int64_t, int64_t begin, int64_t degree, const A* ds, A* acc, A* more) const {
    const int64_t known = graph.num_edges - begin;
    weighted_sum(size, degree, known, graph.col + begin, ds, this->node(1, 0), a.stride[1], acc);
    if (a.edge_x == nullptr) return;
    const A* edge_x = static_cast<const A*>(a.edge_x);
    weighted_sum(size, degree, known, graph.edge + begin, ds, edge_x, width, more);
    for (int64_t c = 0; c < width; ++c) acc[c] += more[c];
  }
  void store_destination(int64_t i, const A* acc) const {
    A* dq = this->grad_node(2, i);
    for (int64_t c = 0; c < width; ++c) dq[c] = acc[c] * scale;
  }

 private:
  // out[h] = tau <q, k + f>
  void score(const A* q, const A* k, int64_t position, A* out) const {
    const A* f = this->edge_x(position);
    const auto terms = [&](auto lanes, int64_t first, int64_t end) {
      Pack<A, lanes> sum = {};
      for (int64_t c = first; c < end; c += lanes) {
        const auto row = load_pack<lanes>(k + c);
        sum += load_pack<lanes>(q + c) * (f == nullptr ? row : row + load_pack<lanes>(f + c));
      }
      return scale * sum;
    };
    head_sums(size, terms, out);
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(dot)(const GraphattnAttention* args, int dtype, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Dot>(args, dtype, backward);
}
