// Additive attention (GAT): score leaky_relu(u_j + w_i + r_e).
//
// The mathematics is that of graphattn/ops/gat/reference.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: features, u of the sources and w of the destinations, N x H in `A`.
template <class T, class I, int H>
struct Additive : Operands<T, I, H> {
  using Base = Operands<T, I, H>;
  using A = typename Base::A;
  using Base::a, Base::graph, Base::heads, Base::width;
  static constexpr int kRecord = 1;  // w

  const A negative_slope;
  explicit Additive(const GraphattnAttention& args)
      : Base(args), negative_slope(static_cast<A>(args.setting)) {}

  void score_row(int64_t i, int64_t begin, int64_t degree, A* p) const {
    const I* col = graph.col + begin;
    const A* w = this->template node<A>(2, i);
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < graph.num_edges)
        prefetch(this->template node<A>(1, col[e + kAhead]), heads * sizeof(A));
      const A* u = this->template node<A>(1, col[e]);
      const A* r = this->edge_score(begin + e);
      if (r == nullptr) {
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h)
          p[e * heads + h] = leaky_relu(u[h] + w[h], negative_slope);
      } else {
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h)
          p[e * heads + h] = leaky_relu(u[h] + w[h] + r[h], negative_slope);
      }
    }
  }

  void fill_record(int64_t i, A* more) const {
    const A* w = this->template node<A>(2, i);
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) more[h] = w[h];
  }
  void score_edge(int64_t j, int64_t, int64_t position, const A* w, A* z) const {
    const A* u = this->template node<A>(1, j);
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) z[h] = u[h] + w[h];
    if (a.edge_score == nullptr) return;
    const A* r = this->edge_score(position);
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) z[h] += r[h];
  }
  A activated(A z) const { return leaky_relu(z, negative_slope); }
  A slope(A z) const { return z > A(0) ? A(1) : negative_slope; }

  int64_t source_size() const { return heads; }
  void add_source(int64_t, int64_t, int64_t, const A* ds, const A*, A* acc) const {
    A* du = acc + width;
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) du[h] += ds[h];
  }
  void store_source(int64_t j, const A* acc) const {
    std::copy(acc + width, acc + width + heads, this->template grad_node<A>(1, j));
  }

  int64_t destination_size() const { return heads; }
  void add_destination(int64_t, int64_t begin, int64_t end, const A* ds, A* dw, A*) const {
    for (int64_t p = begin; p < end; ++p)
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) dw[h] += ds[p * heads + h];
  }
  void store_destination(int64_t i, const A* dw) const {
    std::copy(dw, dw + heads, this->template grad_node<A>(2, i));
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gat)(const GraphattnAttention* args, int dtype, int index_bytes,
                                         int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Additive>(args, dtype, index_bytes, backward);
}
