// Additive attention (GAT): score leaky_relu(u_j + w_i + r_e).
//
// The mathematics is that of graphattn/ops/attend/gat_score.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: features, u of the sources and w of the destinations, N x H.
template <class A>
struct Additive : Operands<A> {
  using Base = Operands<A>;
  using Base::graph, Base::heads;
  static constexpr int kRecord = 1;  // w

  struct Activation {
    using P = Pack<A, 16>;
    A negative_slope;
    P operator()(const P& z) const { return where_positive(z, z, negative_slope * z); }
    P slope(const P& z) const {
      return where_positive(z, P::filled(A(1)), P::filled(negative_slope));
    }
  };

  using Base::Base, Base::width;
  Activation activation() const { return {static_cast<A>(this->a.setting)}; }

  void score_row(int64_t i, int64_t begin, int64_t degree, A* z) const {
    const int32_t* col = graph.col + begin;
    with_heads(heads, [&](auto n) {
      const A* w = this->node(2, i);
      for (int64_t e = 0; e < degree; ++e) {
        if (begin + e + kAhead < graph.num_edges)
          prefetch(this->node(1, col[e + kAhead]), n * sizeof(A));
        const A* u = this->node(1, col[e]);
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) z[e * n + h] = u[h] + w[h];
      }
    });
    this->add_edge_scores(degree, [begin](int64_t e) { return begin + e; }, z);
  }

  void fill_record(int64_t i, A* more) const {
    std::copy(this->node(2, i), this->node(2, i) + heads, more);
  }
  // Scores of the edges at transposed positions from t0 on; `record` has what fill_record left.
  template <class Record>
  void score_column(int64_t j, int64_t t0, int64_t count, A* z, const Record& record) const {
    const int32_t* row = graph.trow + t0;
    with_heads(heads, [&](auto n) {
      const A* u = this->node(1, j);
      for (int64_t t = 0; t < count; ++t) {
        const A* w = record(row[t]);
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) z[t * n + h] = u[h] + w[h];
      }
    });
    this->add_edge_scores(count, [&](int64_t t) { return graph.position[t0 + t]; }, z);
  }

  void dot_edge(const A* xj, int64_t i, int64_t, A* out) const {
    dots(this->size, this->grad(i), xj, out);
  }

  int64_t source_size() const { return heads; }
  void add_source(int64_t, int64_t, int64_t count, const A* ds, const A*, A* acc, A*) const {
    sum(count, ds, acc + width);
  }
  void store_source(int64_t j, A* acc, bool more) const {
    A* du = this->grad_node(1, j);
    for (int64_t h = 0; h < heads; ++h) du[h] = more ? du[h] + acc[width + h] : acc[width + h];
  }

  int64_t destination_size() const { return heads; }
  void add_destination(int64_t, int64_t, int64_t degree, const A* ds, A* acc, A*) const {
    sum(degree, ds, acc);
  }
  void store_destination(int64_t i, const A* acc) const {
    std::copy(acc, acc + heads, this->grad_node(2, i));
  }

 private:
  void sum(int64_t count, const A* ds, A* out) const {
    with_heads(heads, [&](auto n) {
      for (int64_t e = 0; e < count; ++e)
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) out[h] += ds[e * n + h];
    });
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gat)(const GraphattnAttention* args, int dtype, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Additive>(args, dtype, backward);
}
