// Work on the edges of one row that all attention kernels share: weighted sums, inner products,
// softmax, dropout; and the rows themselves, long ones in pieces.
//
// Numbers per edge and head lie flat, [degree, heads], in buffers of a thread, and are worked on 16 at a
// time: what they meet per head is repeated until it fills that. So sums over edges have an order that
// follows from the numbers of edges and heads alone.

#pragma once

#include "common.hpp"

namespace GRAPHATTN_ISA {

// Edges whose gradients are computed at a time, few enough to find their rows in the cache again.
constexpr int64_t kChunk = 32;

// A node's features: `channels` of each head, one head after the other.
struct Layout {
  int64_t heads, channels;
  int64_t width() const { return heads * channels; }
};

// Calls body with the number of lanes of a pack of channels, a function of their number alone.
template <class Body>
void with_lanes(int64_t channels, const Body& body) {
  if (channels % 16 == 0) return body(std::integral_constant<int, 16>{});
  if (channels % 8 == 0) return body(std::integral_constant<int, 8>{});
  body(std::integral_constant<int, 1>{});
}

// Calls body(packs, first channel) for blocks of `Most`, of four, or single packs of W channels.
template <int W, int Most = 4, class Body>
void for_packs(int64_t width, const Body& body) {
  int64_t first = 0;
  if constexpr (Most > 4)
    for (; first + Most * W <= width; first += Most * W) body(std::integral_constant<int, Most>{}, first);
  for (; first + 4 * W <= width; first += 4 * W) body(std::integral_constant<int, 4>{}, first);
  for (; first + W <= width; first += W) body(std::integral_constant<int, 1>{}, first);
}

// Calls body with the number of heads, as a constant where it is a common one: loops over few heads
// are several times faster when the compiler knows their length.
template <class Body>
void with_heads(int64_t heads, const Body& body) {
  if (heads == 8) return body(std::integral_constant<int64_t, 8>{});
  if (heads == 4) return body(std::integral_constant<int64_t, 4>{});
  if (heads == 1) return body(std::integral_constant<int64_t, 1>{});
  body(heads);
}

// Head of each of NV packs of W channels from `first` on.
template <int W, int NV>
void heads_of(const Layout& size, int64_t first, int64_t* head) {
  int64_t h = first / size.channels, end = (h + 1) * size.channels;
  for (int v = 0; v < NV; ++v) {
    head[v] = h;
    if (first + (v + 1) * W == end) ++h, end += size.channels;
  }
}

#ifdef GRAPHATTN_PAIRS
// weighted_sum for eight heads of eight channels, two of them in a register.
template <int Ahead, class J>
void weighted_sum_of_pairs(int64_t degree, int64_t known, const J* index, const float* weight,
                           const float* x, int64_t stride, float* out) {
  Sixteen acc[4] = {};
  for (int64_t e = 0; e < degree; ++e) {
    if (e + Ahead < known) prefetch(x + index[e + Ahead] * stride, 64 * sizeof(float));
    const float* row = x + index[e] * stride;
    const Eight w = load_pack<8>(weight + e * 8).part[0];
    acc[0] += spread<0, 1>(w) * load_pack<16>(row).part[0];
    acc[1] += spread<2, 3>(w) * load_pack<16>(row + 16).part[0];
    acc[2] += spread<4, 5>(w) * load_pack<16>(row + 32).part[0];
    acc[3] += spread<6, 7>(w) * load_pack<16>(row + 48).part[0];
  }
  for (int v = 0; v < 4; ++v) store_pack(Pack<float, 16>{{acc[v]}}, out + v * 16);
}
#endif

// out[h, :] = sum_e weight[e, h] * x[index[e], h, :]. Rows are fetched `Ahead` edges before they are
// read, those behind the first `degree`, of which `known` are there, for whoever comes next.
template <int Ahead = kAhead, class A, class J>
GRAPHATTN_NOINLINE void weighted_sum(const Layout& size, int64_t degree, int64_t known, const J* index,
                                     const A* weight, const A* x, int64_t stride, A* out) {
#ifdef GRAPHATTN_PAIRS
  if constexpr (std::is_same_v<A, float>)
    if (size.heads == 8 && size.channels == 8)
      return weighted_sum_of_pairs<Ahead>(degree, known, index, weight, x, stride, out);
#endif
  const auto sum = [&](auto lanes) {
    constexpr int W = lanes;
    for_packs<W, 8>(size.width(), [&](auto packs, int64_t first) {
      constexpr int NV = packs;
      Pack<A, W> acc[NV] = {};
      int64_t head[NV];
      heads_of<W, NV>(size, first, head);
      for (int64_t e = 0; e < degree; ++e) {
        if (e + Ahead < known) prefetch(x + index[e + Ahead] * stride + first, NV * W * sizeof(A));
        const A* row = x + index[e] * stride + first;
        const A* w = weight + e * size.heads;
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) acc[v] += w[head[v]] * load_pack<W>(row + v * W);
      }
      for (int v = 0; v < NV; ++v) store_pack(acc[v], out + first + v * W);
    });
  };
  // No order of sums follows from the lanes here: as many as a register has.
  constexpr int most = kVectorBytes / sizeof(A);
  if (size.channels % most == 0) return sum(std::integral_constant<int, most>{});
  if constexpr (most > 8)
    if (size.channels % 8 == 0) return sum(std::integral_constant<int, 8>{});
  sum(std::integral_constant<int, 1>{});
}

// out[h] = sum of the lanes of terms(lanes, first channel of the head, the last one's end)
template <class A, class Terms>
void head_sums(const Layout& size, const Terms& terms, A* out) {
#ifdef GRAPHATTN_PAIRS
  if constexpr (std::is_same_v<A, float>)
    if (size.heads == 8 && size.channels == 8) {
      Sixteen sums[4];
      for (int k = 0; k < 4; ++k)
        sums[k] = terms(std::integral_constant<int, 16>{}, k * 16, k * 16 + 1).part[0];
      const Eight all = lane_sums_of_pairs(sums);
      std::memcpy(out, &all, sizeof(all));
      return;
    }
#endif
  with_lanes(size.channels, [&](auto lanes) {
    [[maybe_unused]] constexpr int W = lanes;
    const auto of_head = [&](int64_t h) {
      return terms(lanes, h * size.channels, (h + 1) * size.channels);
    };
    int64_t h = 0;
#ifdef GRAPHATTN_SHUFFLES
    if constexpr (W == 8 && std::is_same_v<A, float>)
      for (; h + 8 <= size.heads; h += 8) {
        Eight sums[8];
        for (int k = 0; k < 8; ++k) sums[k] = of_head(h + k).part[0];
        const Eight all = lane_sums(sums);
        std::memcpy(out + h, &all, sizeof(all));
      }
#endif
    for (; h < size.heads; ++h) out[h] = lane_sum(of_head(h));
  });
}

// out[h] = <left[h, :], right[h, :]>
template <class A>
void dots(const Layout& size, const A* left, const A* right, A* out) {
  const auto terms = [&](auto lanes, int64_t first, int64_t end) {
    Pack<A, lanes> sum = {};
    for (int64_t c = first; c < end; c += lanes)
      sum += load_pack<lanes>(left + c) * load_pack<lanes>(right + c);
    return sum;
  };
  head_sums(size, terms, out);
}

// Room for so many flat numbers, and to fill the last 16 of them up.
constexpr int64_t padded(int64_t count) { return (count + 31) / 16 * 16; }

// How many numbers it takes until heads begin anew at a multiple of 16.
inline int64_t period_of(int64_t heads) { return 16 % heads == 0 ? 16 : 16 * heads; }

template <class Heads, class A>
void repeat(Heads heads, const A* numbers, A* out) {
  for (int64_t l = 0; l < period_of(heads); l += heads)
    for (int64_t h = 0; h < heads; ++h) out[l + h] = numbers[h];
}

// Numbers per head from numbers per lane, which are used up. Halves are joined where they stay whole.
template <class Heads, class A, class Join>
void fold(Heads heads, A* lanes, A* out, const Join& join) {
  int64_t left = period_of(heads);
  for (; left % (2 * heads) == 0; left /= 2)
    for (int64_t l = 0; l < left / 2; ++l) lanes[l] = join(lanes[l], lanes[left / 2 + l]);
  for (int64_t l = heads; l < left; l += heads)
    for (int64_t h = 0; h < heads; ++h) lanes[h] = join(lanes[h], lanes[l + h]);
  for (int64_t h = 0; h < heads; ++h) out[h] = lanes[h];
}

template <class A>
void fill_up(int64_t count, A value, A* flat) {
  std::fill(flat + count, flat + (count + 15) / 16 * 16, value);
}

// Replaces scores[e, h] by exp(score - shift), with the largest activated score of each head as its
// shift, and returns their sum in total. Backward needs both: one number, shift + log(sum), would lose
// the digits of the sum where scores are large. Where all scores are -inf, shift and sum are 0. `work`
// has room for two numbers per place of a period.
template <class A, class Activation, class Heads>
void softmax_row_of(int64_t degree, Heads heads, Activation activated, A* scores, A* shift, A* total,
                    A* work) {
  using P = Pack<A, 16>;
  constexpr A low = -std::numeric_limits<A>::infinity();
  const int64_t period = period_of(heads), count = degree * heads;
  A *most = work, *sums = work + period;
  fill_up(count, low, scores);
  for (int64_t o = 0; o < period; o += 16) {
    P largest = P::filled(low);
    for (int64_t k = o; k < count; k += period) {
      const P score = activated(load_pack<16>(scores + k));
      store_pack(score, scores + k);
      largest = larger(score, largest);
    }
    store_pack(largest, most + o);
  }
  fold(heads, most, shift, [](A one, A two) { return two > one ? two : one; });
  for (int64_t h = 0; h < heads; ++h) shift[h] = shift[h] == low ? A(0) : shift[h];
  repeat(heads, shift, most);
  for (int64_t o = 0; o < period; o += 16) {
    const P center = load_pack<16>(most + o);
    P sum = {};
    for (int64_t k = o; k < count; k += period) {
      const P weight = fast_exp(load_pack<16>(scores + k) - center);
      store_pack(weight, scores + k);
      sum += weight;
    }
    store_pack(sum, sums + o);
  }
  fold(heads, sums, total, [](A one, A two) { return one + two; });
}
template <class A, class Activation>
GRAPHATTN_NOINLINE void softmax_row(int64_t degree, int64_t heads, Activation activated, A* scores,
                                    A* shift, A* total, A* work) {
  with_heads(heads, [&](auto n) { softmax_row_of(degree, n, activated, scores, shift, total, work); });
}

// Writes the softmax of the activated z[e, h], of which `norm` has shift and inverse sum, to alpha.
template <class A, class Activation>
void coefficients(int64_t degree, int64_t heads, const A* z, const A* norm, Activation activated,
                  A* alpha, A* work) {
  const int64_t period = period_of(heads);
  A *shift = work, *inverse = work + period;
  repeat(heads, norm, shift);
  repeat(heads, norm + heads, inverse);
  for (int64_t o = 0; o < period; o += 16) {
    const auto s = load_pack<16>(shift + o), i = load_pack<16>(inverse + o);
    for (int64_t k = o; k < degree * heads; k += period)
      store_pack(fast_exp(activated(load_pack<16>(z + k)) - s) * i, alpha + k);
  }
}

// mean[h] = sum over edges of alpha[e, h] * d[e, h]. Fills both up.
template <class A>
void mean_over_edges(int64_t degree, int64_t heads, A* alpha, A* d, A* mean, A* work) {
  const int64_t period = period_of(heads), count = degree * heads;
  fill_up(count, A(0), d);
  fill_up(count, A(0), alpha);
  for (int64_t o = 0; o < period; o += 16) {
    Pack<A, 16> sum = {};
    for (int64_t k = o; k < count; k += period)
      sum += load_pack<16>(alpha + k) * load_pack<16>(d + k);
    store_pack(sum, work + o);
  }
  fold(heads, work, mean, [](A one, A two) { return one + two; });
}

// out[h, :] = sums[h, :] * factor[h] + bias[h, :], the last if there is one; and without it to `plain`,
// which may be null, or the bias.
template <class A>
GRAPHATTN_NOINLINE void scale(const Layout& size, const A* sums, const A* factor, const A* bias, A* out,
                              A* plain) {
  with_lanes(size.channels, [&](auto lanes) {
    constexpr int W = lanes;
    for (int64_t h = 0; h < size.heads; ++h)
      for (int64_t c = h * size.channels; c < (h + 1) * size.channels; c += W) {
        const auto scaled = factor[h] * load_pack<W>(sums + c);
        store_pack(bias == nullptr ? scaled : scaled + load_pack<W>(bias + c), out + c);
        if (plain != nullptr) store_pack(scaled, plain + c);
      }
  });
}

// p[k] *= factor of coefficient first + k, for k < count.
template <class A>
GRAPHATTN_NOINLINE void drop(const Dropout& dropout, uint64_t first, int64_t count, A* p) {
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
template <class A>
GRAPHATTN_NOINLINE void drop_factors(const Dropout& dropout, const uint32_t* position, int64_t count,
                                     int64_t known, int64_t heads, uint32_t* low, uint32_t* high,
                                     A* factor) {
  if (!dropout.active) return std::fill(factor, factor + count * heads, A(1));
  const bool narrow = known * heads <= int64_t{1} << 32;
  with_heads(heads, [&](auto n) {
    for (int64_t t = 0; t < count; ++t) {
      const uint64_t counter = static_cast<uint64_t>(position[t]) * n;
#pragma omp simd
      for (int64_t h = 0; h < n; ++h) low[t * n + h] = static_cast<uint32_t>(counter + h);
      if (narrow) continue;
      for (int64_t h = 0; h < n; ++h) high[t * n + h] = static_cast<uint32_t>((counter + h) >> 32);
    }
  });
  if (narrow) {
#pragma omp simd
    for (int64_t k = 0; k < count * heads; ++k) factor[k] = dropout.factor(low[k], 0);
  } else {
#pragma omp simd
    for (int64_t k = 0; k < count * heads; ++k) factor[k] = dropout.factor(low[k], high[k]);
  }
}

// Rows of more edges are worked on in pieces of this many, so that a hub occupies no single thread and
// needs no more room than others.
constexpr int64_t kPiece = 4096;

// The edges [begin[k], end[k]) of the rows [first, last), none longer than `longest`.
struct Rows {
  int64_t first, last;
  const int64_t *begin, *end;
  int64_t longest;

  // Edges that are worked on at a time, at the most.
  int64_t room() const { return std::min(longest, kPiece); }
};

struct Piece {
  int64_t hub, row, begin, end;  // `hub` counts the rows that are cut
};

inline std::vector<Piece> pieces_of(const Rows& rows) {
  std::vector<Piece> pieces;
  if (rows.longest <= kPiece) return pieces;
  int64_t hub = 0;
  for (int64_t i = rows.first; i < rows.last; ++i) {
    if (rows.end[i] - rows.begin[i] <= kPiece) continue;
    for (int64_t b = rows.begin[i]; b < rows.end[i]; b += kPiece)
      pieces.push_back({hub, i, b, std::min<int64_t>(b + kPiece, rows.end[i])});
    ++hub;
  }
  return pieces;
}

// Calls body(i, scratch) for all rows but hubs, a block of them in order on one thread.
template <class A>
void for_short_rows(const Rows& rows, int64_t threads, int64_t size, Ref<void(int64_t, A*)> body) {
  for_rows<A>(rows.last - rows.first, threads, size, [&](int64_t k, A* scratch) {
    const int64_t i = rows.first + k;
    if (rows.end[i] - rows.begin[i] <= kPiece) body(i, scratch);
  });
}

// Joins accumulators, the second one into the first.
template <class A>
using Merge = Ref<void(A*, const A*)>;

// Calls part(piece, acc, buffer) for all pieces, which fills the accumulator of the piece;
// merge(acc, other) joins those of a row in their order; done(piece, acc) takes the result.
template <class A>
void reduce_pieces(const std::vector<Piece>& pieces, int64_t threads, int64_t acc_size,
                   int64_t buffer_size, Ref<void(const Piece&, A*, A*)> part, Merge<A> merge,
                   Ref<void(const Piece&, A*)> done) {
  if (pieces.empty()) return;
  const int64_t count = static_cast<int64_t>(pieces.size());
  std::vector<A> all(static_cast<size_t>(count * acc_size));
  for_each<A>(count, threads, buffer_size, 1,
              [&](int64_t k, A* buffer) { part(pieces[k], all.data() + k * acc_size, buffer); });
  for (int64_t k = 0, first = 0; k < count; ++k) {
    if (pieces[k].hub != pieces[first].hub) first = k;
    A* acc = all.data() + first * acc_size;
    if (k > first) merge(acc, all.data() + k * acc_size);
    if (k + 1 == count || pieces[k + 1].hub != pieces[k].hub) done(pieces[k], acc);
  }
}

// Calls part(i, begin, end, acc, buffer) for every row, or every piece of one; merge and done(i, acc)
// as above. Which rows are cut depends on the graph alone, so results do not depend on `threads`.
template <class A>
void reduce_rows(const Rows& rows, int64_t threads, int64_t acc_size, int64_t buffer_size,
                 Ref<void(int64_t, int64_t, int64_t, A*, A*)> part, Merge<A> merge,
                 Ref<void(int64_t, A*)> done) {
  for_short_rows<A>(rows, threads, acc_size + buffer_size, [&](int64_t i, A* acc) {
    part(i, rows.begin[i], rows.end[i], acc, acc + acc_size);
    done(i, acc);
  });
  reduce_pieces<A>(
      pieces_of(rows), threads, acc_size, buffer_size,
      [&](const Piece& p, A* acc, A* buffer) { part(p.row, p.begin, p.end, acc, buffer); }, merge,
      [&](const Piece& p, A* acc) { done(p.row, acc); });
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

// Runs a kernel for a type of values (0 float32, 1 float64). Returns 1 for one that is not compiled
// here, 2 without memory. The wide instruction sets leave float64, which needs no speed, to the portable
// code: every combination costs seconds of compilation.
template <class Kernel>
int for_type(int dtype, const Kernel& kernel) {
  try {
    if (dtype == 0) return kernel(float{}), 0;
    if constexpr (!kWide)
      if (dtype == 1) return kernel(double{}), 0;
    return 1;
  } catch (const std::bad_alloc&) {
    return 2;
  }
}

}  // namespace GRAPHATTN_ISA
