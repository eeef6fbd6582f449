// Sum of gathered rows without weights: the least that any attention kernel must do.
//
// Used only by `graphattn bench`, as the time that no kernel on this graph and machine can beat;
// therefore as fast as can be, and in float32 only.

#include "common.hpp"

namespace GRAPHATTN_ISA {

constexpr int64_t kRowsAtATime = 256;

// out[c] = sum_t x[index[t], c] for the NV * 16 columns at x and out. Rows needed later, those of
// the following destinations included, are asked for early: `end` is that of the whole list.
template <int NV>
void sum_block(const int32_t* index, int64_t begin, int64_t stop, int64_t end, const float* x,
               int64_t width, float* out) {
  Pack<float, 16> acc[NV] = {};
  for (int64_t t = begin; t < stop; ++t) {
    if (t + kAhead < end) prefetch(x + index[t + kAhead] * width, NV * 64);
    const float* row = x + index[t] * width;
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[v] += load_pack<16>(row + 16 * v);
  }
  for (int v = 0; v < NV; ++v) store_pack(acc[v], out + 16 * v);
}

void sum_row(const int32_t* index, int64_t begin, int64_t stop, int64_t end, const float* x,
             int64_t width, float* out) {
  int64_t c = 0;
  for (; c + 128 <= width; c += 128) sum_block<8>(index, begin, stop, end, x + c, width, out + c);
  for (; c + 64 <= width; c += 64) sum_block<4>(index, begin, stop, end, x + c, width, out + c);
  for (; c < width; c += 16) sum_block<1>(index, begin, stop, end, x + c, width, out + c);
}

}  // namespace GRAPHATTN_ISA

// out[i, :] = sum of x[index[t], :] over ptr[i] <= t < ptr[i + 1]; all arrays contiguous.
// The width is a multiple of 16.
GRAPHATTN_EXPORT void GRAPHATTN_NAME(floor)(const int32_t* ptr, const int32_t* index, int64_t rows,
                                            int64_t width, const float* x, float* out,
                                            int64_t threads) {
  using namespace GRAPHATTN_ISA;
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(dynamic, 1)
  for (int64_t first = 0; first < rows; first += kRowsAtATime)
    for (int64_t i = first; i < std::min(rows, first + kRowsAtATime); ++i)
      sum_row(index, ptr[i], ptr[i + 1], ptr[rows], x, width, out + i * width);
}
