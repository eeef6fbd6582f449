// Work on the edges of one row that all attention kernels share: weighted sums, inner products,
// softmax.

#pragma once

#include "common.hpp"

namespace GRAPHATTN_ISA {

// Edges whose gradients are computed at a time, few enough to find their rows in the cache again.
constexpr int64_t kChunk = 32;

// A number that is a constant for the compiler where it is not 0. Loops over few heads are several
// times faster when their length is one.
template <int H>
using Count = std::conditional_t<(H > 0), std::integral_constant<int64_t, H>, int64_t>;

template <int H>
Count<H> count_of(int64_t number) {
  if constexpr (H > 0) return {};
  else return number;
}

// A node's features: `channels` of each head, one head after the other.
template <int H = 0>
struct Layout {
  Count<H> heads;
  int64_t channels;
  int64_t width() const { return heads * channels; }
};

// Calls body with the widest number of lanes that the machine has and that divides the channels of a
// head.
template <class A, int H, class Body>
void with_lanes(const Layout<H>& size, const Body& body) {
  constexpr int most = kVectorBytes / sizeof(A);
  if (size.channels % most == 0) return body(std::integral_constant<int, most>{});
  if constexpr (most > 8)
    if (size.channels % 8 == 0) return body(std::integral_constant<int, 8>{});
  if constexpr (most > 4)
    if (size.channels % 4 == 0) return body(std::integral_constant<int, 4>{});
  body(std::integral_constant<int, 1>{});
}

// sum_e weight[e, h] * row(e)[h, :] for channels [first, first + NV * W), kept in registers.
template <int W, int NV, int Ahead, int H, class T, class I>
void weighted_sum_block(const Layout<H>& size, int64_t first, int64_t degree, int64_t known,
                        const I* col, const Acc<T>* weight, const T* x, int64_t stride, Acc<T>* out) {
  using V = typename Vec<Acc<T>, W>::Type;
  V acc[NV] = {};
  int64_t head[NV];
  int64_t h = first / size.channels, end = (h + 1) * size.channels;
  for (int v = 0; v < NV; ++v) {
    head[v] = h;
    if (first + (v + 1) * W == end) ++h, end += size.channels;
  }
  for (int64_t e = 0; e < degree; ++e) {
    if (e + Ahead < known) prefetch(x + col[e + Ahead] * stride + first, NV * W * sizeof(T));
    const T* row = x + col[e] * stride + first;
    const Acc<T>* w = weight + e * size.heads;
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[v] += w[head[v]] * load_vec<W>(row + v * W);
  }
  for (int v = 0; v < NV; ++v) store_vec<W>(acc[v], out + first + v * W);
}

#ifdef GRAPHATTN_PAIRS
// The same for eight heads of eight channels, two of them in a register.
template <int Ahead, class I>
void weighted_sum_of_pairs(int64_t degree, int64_t known, const I* col, const float* weight,
                           const float* x, int64_t stride, float* out) {
  typename Vec<float, 16>::Type acc[4] = {};
  for (int64_t e = 0; e < degree; ++e) {
    if (e + Ahead < known) prefetch(x + col[e + Ahead] * stride, 64 * sizeof(float));
    const float* row = x + col[e] * stride;
    const auto w = load_vec<8>(weight + e * 8);
    acc[0] += spread<0, 1>(w) * load_vec<16>(row);
    acc[1] += spread<2, 3>(w) * load_vec<16>(row + 16);
    acc[2] += spread<4, 5>(w) * load_vec<16>(row + 32);
    acc[3] += spread<6, 7>(w) * load_vec<16>(row + 48);
  }
  for (int v = 0; v < 4; ++v) store_vec<16>(acc[v], out + v * 16);
}
#endif

// out[h, :] = sum_e weight[e, h] * x[col[e], h, :]. Rows are fetched `Ahead` edges before they are
// read, those behind the first `degree`, of which `known` are there, for whoever comes next.
template <int Ahead = kAhead, int H, class T, class I>
void weighted_sum(const Layout<H>& size, int64_t degree, int64_t known, const I* col,
                  const Acc<T>* weight, const T* x, int64_t stride, Acc<T>* out) {
#ifdef GRAPHATTN_PAIRS
  if constexpr (H == 8 && std::is_same_v<T, float>)
    if (size.channels == 8)
      return weighted_sum_of_pairs<Ahead>(degree, known, col, weight, x, stride, out);
#endif
  with_lanes<Acc<T>>(size, [&](auto lanes) {
    constexpr int W = lanes;
    int64_t first = 0;
    const int64_t width = size.width();
    for (; first + 8 * W <= width; first += 8 * W)
      weighted_sum_block<W, 8, Ahead>(size, first, degree, known, col, weight, x, stride, out);
    for (; first + 4 * W <= width; first += 4 * W)
      weighted_sum_block<W, 4, Ahead>(size, first, degree, known, col, weight, x, stride, out);
    for (; first + W <= width; first += W)
      weighted_sum_block<W, 1, Ahead>(size, first, degree, known, col, weight, x, stride, out);
  });
}

// out[h] = sum of the lanes of terms(lanes, first channel of the head)
template <class A, int H, class Terms>
void head_sums(const Layout<H>& size, const Terms& terms, A* out) {
#ifdef GRAPHATTN_PAIRS
  if constexpr (H == 8 && std::is_same_v<A, float>)
    if (size.channels == 8) {
      constexpr std::integral_constant<int, 16> two_heads;
      typename Vec<A, 16>::Type sums[4];
      for (int k = 0; k < 4; ++k) sums[k] = terms(two_heads, k * 16);
      return store_vec<8>(lane_sums_of_pairs(sums), out);
    }
#endif
  with_lanes<A>(size, [&](auto lanes) {
    constexpr int W = lanes;
    int64_t h = 0;
#ifdef __AVX2__
    if constexpr (W == 8 && std::is_same_v<A, float>)
      for (; h + 8 <= size.heads; h += 8) {
        typename Vec<A, W>::Type sums[8];
        for (int k = 0; k < 8; ++k) sums[k] = terms(lanes, (h + k) * size.channels);
        store_vec<W>(lane_sums(sums), out + h);
      }
#endif
    for (; h < size.heads; ++h) out[h] = lane_sum<A, W>(terms(lanes, h * size.channels));
  });
}

// out[h] = <left[h, :], right[h, :]>
template <int H, class T, class R>
void dots(const Layout<H>& size, const T* left, const R* right, Acc<T>* out) {
  const auto terms = [&](auto lanes, int64_t first) {
    typename Vec<Acc<T>, lanes>::Type sum = {};
    for (int64_t c = first; c < first + size.channels; c += lanes)
      sum += load_vec<lanes>(left + c) * load_vec<lanes>(right + c);
    return sum;
  };
  head_sums(size, terms, out);
}

// Replaces scores[e, h] by exp(score - shift), with the largest score of each head as its shift, and
// returns their sum in total. Backward needs both: one number, shift + log(sum), would lose the
// digits of the sum where scores are large. Where all scores are -inf, shift and sum are 0. Lanes of 16 run over (e, h) together; the order of the
// sum is a function of the row.
template <class A, class Heads>
void softmax_row(int64_t degree, Heads heads, A* scores, A* shift, A* total) {
  constexpr A low = -std::numeric_limits<A>::infinity();
  const bool lanes = 16 % int64_t{heads} == 0;
  const int64_t count = degree * heads;
  const int64_t padded = lanes ? (count + 15) / 16 * 16 : count;
  A most[16], sums[16];  // per lane, or unused
  if (lanes) {
    std::fill(scores + count, scores + padded, low);
    for (int l = 0; l < 16; ++l) most[l] = low, sums[l] = 0;
    for (int64_t b = 0; b < padded; b += 16)
      for (int l = 0; l < 16; ++l) most[l] = scores[b + l] > most[l] ? scores[b + l] : most[l];
  }
  for (int64_t h = 0; h < heads; ++h) {
    A m = low;
    if (lanes) {
      for (int64_t l = h; l < 16; l += heads) m = most[l] > m ? most[l] : m;
    } else {
      for (int64_t e = 0; e < degree; ++e) m = std::max(m, scores[e * heads + h]);
    }
    shift[h] = m == low ? A(0) : m;
  }
  if (lanes) {
    for (int l = 0; l < 16; ++l) most[l] = shift[l % int64_t{heads}];
    for (int64_t b = 0; b < padded; b += 16)
#pragma omp simd
      for (int l = 0; l < 16; ++l) {
        scores[b + l] = fast_exp(scores[b + l] - most[l]);
        sums[l] += scores[b + l];
      }
  } else {
    for (int64_t e = 0; e < degree; ++e)
      for (int64_t h = 0; h < heads; ++h)
        scores[e * heads + h] = fast_exp(scores[e * heads + h] - shift[h]);
  }
  for (int64_t h = 0; h < heads; ++h) {
    A sum = 0;
    if (lanes) {
      for (int64_t l = h; l < 16; l += heads) sum += sums[l];
    } else {
      for (int64_t e = 0; e < degree; ++e) sum += scores[e * heads + h];
    }
    total[h] = sum;
  }
}

// out[h, :] = sums[h, :] * factor[h] + bias[h, :], the last if there is one
template <class T, int H>
void store_scaled(const Layout<H>& size, const Acc<T>* sums, const Acc<T>* factor, const Acc<T>* bias,
                  T* out) {
  for (int64_t h = 0; h < size.heads; ++h)
    for (int64_t c = h * size.channels; c < (h + 1) * size.channels; ++c)
      store(bias == nullptr ? sums[c] * factor[h] : sums[c] * factor[h] + bias[c], out + c);
}

// p[k] *= factor of coefficient first + k, for k < count.
template <class A>
void drop(const Dropout& dropout, uint64_t first, int64_t count, A* p) {
  if (!dropout.active) return;
  for (int64_t done = 0; done < count;) {
    // Runs in which the upper half of the counter stays the same.
    const uint32_t low = static_cast<uint32_t>(first + done);
    const uint32_t high = static_cast<uint32_t>((first + done) >> 32);
    const int run = static_cast<int>(
        std::min<int64_t>({count - done, 1 << 20, (int64_t{1} << 32) - low}));
    A* q = p + done;
#pragma omp simd
    for (int k = 0; k < run; ++k) q[k] *= dropout.factor(low + static_cast<uint32_t>(k), high);
    done += run;
  }
}

// factor[t, h] for edges at the given positions, of which there are `known`; 1 without dropout. `low`
// and `high` are scratch.
template <class A, class I, class Heads>
void drop_factors(const Dropout& dropout, const I* position, int64_t count, int64_t known,
                  Heads heads, uint32_t* low, uint32_t* high, A* factor) {
  if (!dropout.active) return std::fill(factor, factor + count * heads, A(1));
  if (known * heads <= int64_t{1} << 32) {
    for (int64_t t = 0; t < count; ++t) {
      const uint32_t counter = static_cast<uint32_t>(position[t]) * static_cast<uint32_t>(heads);
#pragma omp simd
      for (int64_t h = 0; h < heads; ++h) low[t * heads + h] = counter + static_cast<uint32_t>(h);
    }
#pragma omp simd
    for (int64_t k = 0; k < count * heads; ++k) factor[k] = dropout.factor(low[k], 0);
    return;
  }
  for (int64_t t = 0; t < count; ++t) {
    const uint64_t counter = static_cast<uint64_t>(position[t]) * heads;
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) {
      low[t * heads + h] = static_cast<uint32_t>(counter + h);
      high[t * heads + h] = static_cast<uint32_t>((counter + h) >> 32);
    }
  }
#pragma omp simd
  for (int64_t k = 0; k < count * heads; ++k) factor[k] = dropout.factor(low[k], high[k]);
}

// Rows of more edges are worked on in pieces of this many, so that a hub occupies no single thread and
// needs no more room than others.
constexpr int64_t kPiece = 4096;

// Calls part(i, begin, end, acc, buffer) for every row, or every piece of it, which fills the
// accumulator; merge(acc, other) joins the pieces of a row in their order; done(i, acc) takes the
// result. Which rows are cut depends on the graph alone, so results do not depend on `threads`.
template <class A, class I, class Part, class Merge, class Done>
void reduce_rows(const I* ptr, int64_t rows, int64_t threads, int64_t acc_size, int64_t buffer_size,
                 const Part& part, const Merge& merge, const Done& done) {
  struct Piece {
    int64_t row, begin, end;
  };
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < rows; ++i)
    if (ptr[i + 1] - ptr[i] > kPiece)
      for (int64_t b = ptr[i]; b < ptr[i + 1]; b += kPiece)
        pieces.push_back({i, b, std::min<int64_t>(b + kPiece, ptr[i + 1])});
  for_rows<A>(rows, threads, acc_size + buffer_size, [&](int64_t i, A* acc) {
    if (ptr[i + 1] - ptr[i] > kPiece) return;
    part(i, ptr[i], ptr[i + 1], acc, acc + acc_size);
    done(i, acc);
  });
  if (pieces.empty()) return;
  const int64_t count = static_cast<int64_t>(pieces.size());
  std::vector<A> all(static_cast<size_t>(count * acc_size));
  for_each<A>(count, threads, buffer_size, 1, [&](int64_t k, A* buffer) {
    const Piece& piece = pieces[k];
    part(piece.row, piece.begin, piece.end, all.data() + k * acc_size, buffer);
  });
  for (int64_t k = 0, first = 0; k < count; ++k) {
    if (pieces[k].row != pieces[first].row) first = k;
    A* acc = all.data() + first * acc_size;
    if (k > first) merge(acc, all.data() + k * acc_size);
    if (k + 1 == count || pieces[k + 1].row != pieces[k].row) done(pieces[k].row, acc);
  }
}

// Joins accumulators that are plain sums.
template <class A>
auto adder(int64_t size) {
  return [size](A* one, const A* two) {
    for (int64_t c = 0; c < size; ++c) one[c] += two[c];
  };
}

#ifdef __AVX2__
constexpr bool kWide = true;
#else
constexpr bool kWide = false;
#endif

// Calls body with the number of heads as a constant where it is a common one, else with 0.
template <class T, class Body>
void with_heads(int64_t heads, const Body& body) {
  if constexpr (kWide && std::is_same_v<T, float>) {
    if (heads == 1) return body(std::integral_constant<int, 1>{});
    if (heads == 4) return body(std::integral_constant<int, 4>{});
    if (heads == 8) return body(std::integral_constant<int, 8>{});
  }
  body(std::integral_constant<int, 0>{});
}

// Runs a kernel for types of values (0 float32, 1 float64, 2 bfloat16, 3 float16) and indices.
// Returns 1 for a combination that is not compiled here, 2 without memory. The wide instruction
// sets leave float64 and 64-bit indices of half precision, which need no speed, to the portable
// code: every combination costs seconds of compilation.
template <class Kernel>
int for_type(int dtype, int index_bytes, const Kernel& kernel) {
  const bool narrow = index_bytes == 4;
  try {
    switch (dtype) {
      case 0: return narrow ? kernel(float{}, int32_t{}) : kernel(float{}, int64_t{}), 0;
      case 1:
        if constexpr (kWide) return 1;
        else return narrow ? kernel(double{}, int32_t{}) : kernel(double{}, int64_t{}), 0;
      case 2:
        if (narrow) return kernel(BFloat16{}, int32_t{}), 0;
        if constexpr (kWide) return 1;
        else return kernel(BFloat16{}, int64_t{}), 0;
#ifdef __FLT16_MAX__
      case 3:
        if (narrow) return kernel(Half{}, int32_t{}), 0;
        if constexpr (kWide) return 1;
        else return kernel(Half{}, int64_t{}), 0;
#endif
      default: return 1;
    }
  } catch (const std::bad_alloc&) {
    return 2;
  }
}

}  // namespace GRAPHATTN_ISA
