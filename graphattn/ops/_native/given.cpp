// Sums whose scores, or weights, are given per edge.
//
// The mathematics is that of graphattn/ops/attend/given_score.py and of graphattn/ops/spmm.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operand: the features. With `Softmax` the softmax of the scores is the weight, else the score
// itself.
template <class A, bool Softmax>
struct Given : Operands<A> {
  using Base = Operands<A>;
  static constexpr bool kSoftmax = Softmax;
  using Base::Base;

  void score_row(int64_t, int64_t begin, int64_t degree, A* p) const {
    std::fill(p, p + degree * this->heads, A(0));
    this->add_edge_scores(degree, [begin](int64_t e) { return begin + e; }, p);
  }
  template <class Record>
  void score_column(int64_t, int64_t t0, int64_t count, A* p, const Record&) const {
    std::fill(p, p + count * this->heads, A(0));
    this->add_edge_scores(count, [&](int64_t t) { return this->graph.position[t0 + t]; }, p);
  }
  void dot_edge(const A* xj, int64_t i, int64_t, A* out) const {
    dots(this->size, this->grad(i), xj, out);
  }
};

template <class A>
using Scores = Given<A, true>;
template <class A>
using Weights = Given<A, false>;

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(given)(const GraphattnAttention* args, int dtype, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Scores>(args, dtype, backward);
}

GRAPHATTN_EXPORT int GRAPHATTN_NAME(spmm)(const GraphattnAttention* args, int dtype, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Weights>(args, dtype, backward);
}
