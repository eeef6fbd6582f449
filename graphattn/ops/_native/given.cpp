// Sums whose scores, or weights, are given per edge; and the softmax of such scores alone.
//
// The mathematics is that of graphattn/ops/edge_softmax/reference.py and spmm/reference.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operand: the features. With `Softmax` the softmax of the scores is the weight, else the score
// itself.
template <class T, class I, int H, bool Softmax>
struct Given : Operands<T, I, H> {
  using Base = Operands<T, I, H>;
  using A = typename Base::A;
  using Base::graph, Base::heads;
  static constexpr bool kSoftmax = Softmax;
  using Base::Base;

  void score_row(int64_t, int64_t begin, int64_t degree, A* p) const {
    for (int64_t e = 0; e < degree; ++e)
      score_edge(0, 0, begin + e, nullptr, p + e * heads);
  }
  void score_edge(int64_t, int64_t, int64_t position, const A*, A* s) const {
    const A* given = this->edge_score(position);
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) s[h] = given[h];
  }
};

template <class T, class I, int H>
using Scores = Given<T, I, H, true>;
template <class T, class I, int H>
using Weights = Given<T, I, H, false>;

// Coefficients of the edges, in their order, from their scores.
template <class A, class I>
void softmax_forward(const GraphattnAttention& a) {
  const Graph<I> g(a.graph);
  const A* score = static_cast<const A*>(a.edge_score);
  A* alpha = static_cast<A*>(a.out);
  const int64_t heads = a.heads;
  for_rows<A>(g.num_dst, a.threads, 2 * heads, [&](int64_t i, A* shift) {
    A* total = shift + heads;
    std::fill(shift, shift + heads, -std::numeric_limits<A>::infinity());
    std::fill(total, total + heads, A(0));
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p)
      for (int64_t h = 0; h < heads; ++h) {
        const A s = score[g.edge[p] * heads + h];
        shift[h] = s > shift[h] ? s : shift[h];
      }
    for (int64_t h = 0; h < heads; ++h)
      if (shift[h] == -std::numeric_limits<A>::infinity()) shift[h] = 0;
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p)
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) {
        const A weight = fast_exp(score[g.edge[p] * heads + h] - shift[h]);
        alpha[g.edge[p] * heads + h] = weight;
        total[h] += weight;
      }
    for (int64_t h = 0; h < heads; ++h) total[h] = total[h] == A(0) ? A(0) : A(1) / total[h];
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p)
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) alpha[g.edge[p] * heads + h] *= total[h];
  });
}

// grad_edge_score = alpha * (grad - sum over the row of alpha * grad), with alpha in `edge_score`.
template <class A, class I>
void softmax_backward(const GraphattnAttention& a) {
  const Graph<I> g(a.graph);
  const A *alpha = static_cast<const A*>(a.edge_score), *grad = static_cast<const A*>(a.grad);
  A* out = static_cast<A*>(a.grad_edge_score);
  const int64_t heads = a.heads;
  for_rows<A>(g.num_dst, a.threads, heads, [&](int64_t i, A* mean) {
    std::fill(mean, mean + heads, A(0));
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p)
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h)
        mean[h] += alpha[g.edge[p] * heads + h] * grad[g.edge[p] * heads + h];
    for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p)
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t k = g.edge[p] * heads + h;
        out[k] = alpha[k] * (grad[k] - mean[h]);
      }
  });
}

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(given)(const GraphattnAttention* args, int dtype,
                                           int index_bytes, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Scores>(args, dtype, index_bytes, backward);
}

GRAPHATTN_EXPORT int GRAPHATTN_NAME(spmm)(const GraphattnAttention* args, int dtype, int index_bytes,
                                          int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Weights>(args, dtype, index_bytes, backward);
}

GRAPHATTN_EXPORT int GRAPHATTN_NAME(edge_softmax)(const GraphattnAttention* args, int dtype,
                                                  int index_bytes, int backward) {
  using namespace GRAPHATTN_ISA;
  return for_type(dtype, index_bytes, [&](auto value, auto index) {
    using A = Acc<decltype(value)>;
    using I = decltype(index);
    backward ? softmax_backward<A, I>(*args) : softmax_forward<A, I>(*args);
  });
}
