// Attention over the edges of a graph, forward and backward, for any score.
//
// Every node sums the features of its sources with the softmax of their scores as weights. What a
// score is, and what its gradients are, a class says (gat.cpp, gatv2.cpp, dot.cpp, given.cpp); the
// loops, the softmax, dropout and the sums are here. Nothing of size E x C is ever stored: forward
// keeps two numbers per node and head, backward computes the coefficients again.

#pragma once

#include "rows.hpp"

// Arguments of all attention kernels; mirrored by ctypes in graphattn/ops/_attend/cpu.py. Strides
// count entries from one node's row to the next. The gradient of a node operand may take its place,
// unless the pass by destination gathers it: `x` of gatv2, the keys of dot.
struct GraphattnAttention {
  GraphattnGraph graph;
  int64_t heads, channels, threads;
  double setting, dropout;
  uint64_t seed;
  const void* node[3];  // the features to sum, then what the score needs
  int64_t stride[3];
  const void *edge_x, *edge_score;  // E x HC and E x H in the order of edges; each may be null
  const void* bias;                 // HC, added to the sums; may be null
  int64_t bias_stride;              // 0 where all sums get the same
  void *out, *norm;                 // norm: N_dst x 2H, shift and 1 / sum of the softmax
  const void* grad;
  void* grad_node[3];
  int64_t grad_stride[3];
  void *grad_edge_x, *grad_edge_score;
  void* scratch;  // E x H: gradients of scores in the order of rows
  void* record;   // N_dst x RH: norm, <grad, out> and what the score adds, side by side
};

namespace GRAPHATTN_ISA {

// Types, sizes and pointers that all scores have in common.
template <class T_, class I_, int H>
struct Operands {
  using T = T_;
  using I = I_;
  using A = Acc<T>;

  const GraphattnAttention& a;
  const Graph<I> graph;
  const Layout<H> size;
  const Count<H> heads;
  const int64_t width;

  explicit Operands(const GraphattnAttention& args)
      : a(args),
        graph(args.graph),
        size{count_of<H>(args.heads), args.channels},
        heads(size.heads),
        width(size.width()) {}

  // Row of a node operand; of `kind` T or A.
  template <class K = T>
  const K* node(int which, int64_t i) const {
    return static_cast<const K*>(a.node[which]) + i * a.stride[which];
  }
  template <class K = T>
  K* grad_node(int which, int64_t i) const {
    return static_cast<K*>(a.grad_node[which]) + i * a.grad_stride[which];
  }
  // Row of the edge at a position of the CSR, or null.
  const T* edge_x(int64_t position) const {
    if (a.edge_x == nullptr) return nullptr;
    return static_cast<const T*>(a.edge_x) + graph.edge[position] * width;
  }
  const A* edge_score(int64_t position) const {
    if (a.edge_score == nullptr) return nullptr;
    return static_cast<const A*>(a.edge_score) + graph.edge[position] * heads;
  }
  const T* grad(int64_t i) const { return static_cast<const T*>(a.grad) + i * width; }
  // What is added to the sums of a destination, or null.
  const A* bias(int64_t i) const {
    if (a.bias == nullptr) return nullptr;
    return static_cast<const A*>(a.bias) + i * a.bias_stride;
  }

  // What a score class says unless it hides these.
  static constexpr bool kSoftmax = true;          // else scores are the weights
  static constexpr bool kEdgeValues = false;      // the features of an edge are part of what is summed
  static constexpr int kRecord = 0;               // numbers per head that it adds to the record
  int64_t source_size() const { return 0; }       // sums per source beside those of the features
  int64_t destination_size() const { return 0; }  // sums per destination
  void fill_record(int64_t, A*) const {}
  void prefetch_destination(int64_t) const {}
  A activated(A z) const { return z; }
  A slope(A) const { return A(1); }
  void add_source(int64_t, int64_t, int64_t, const A*, const A*, A*) const {}
  void store_source(int64_t, const A*) const {}
  void add_destination(int64_t, int64_t, int64_t, const A*, A*, A*) const {}
  void store_destination(int64_t, const A*) const {}
};

template <class Score>
void attend_forward(const GraphattnAttention& a) {
  using T = typename Score::T;
  using I = typename Score::I;
  using A = typename Score::A;
  const Score score(a);
  const auto& g = score.graph;
  const auto size = score.size;
  const auto heads = score.heads;
  const int64_t width = score.width;
  const Dropout dropout(a.dropout, a.seed);
  // The accumulator of a row: sums, and shift and total of the softmax.
  const auto part = [&](int64_t i, int64_t begin, int64_t end, A* sums, A* p) {
    const int64_t degree = end - begin;
    A *shift = sums + width, *total = shift + heads, *more = p + kPiece * heads + 16;
    score.score_row(i, begin, degree, p);
    if constexpr (Score::kSoftmax) {
      softmax_row(degree, heads, p, shift, total);
      drop(dropout, static_cast<uint64_t>(begin) * heads, degree * heads, p);
    }
    const I* col = g.col + begin;
    weighted_sum(size, degree, g.num_edges - begin, col, p, score.node(0, 0), a.stride[0], sums);
    if (Score::kEdgeValues && a.edge_x != nullptr) {
      const T* edge_x = static_cast<const T*>(a.edge_x);
      weighted_sum(size, degree, g.num_edges - begin, g.edge + begin, p, edge_x, width, more);
      for (int64_t c = 0; c < width; ++c) sums[c] += more[c];
    }
  };
  const auto merge = [&](A* one, const A* two) {
    for (int64_t h = 0; h < heads; ++h) {
      A *shift = one + width + h, *total = shift + heads;
      const A shift_two = two[width + h], total_two = two[width + heads + h];
      A keep = 1, take = 1;
      if constexpr (Score::kSoftmax) {
        // A total of 0 belongs to scores that are all -inf, whose shift says nothing.
        const A most = *total == A(0) || shift_two > *shift ? shift_two : *shift;
        if (total_two == A(0)) continue;
        keep = *total == A(0) ? A(0) : std::exp(*shift - most);
        take = std::exp(shift_two - most);
        *total = *total * keep + total_two * take;
        *shift = most;
      }
      for (int64_t c = h * size.channels; c < (h + 1) * size.channels; ++c)
        one[c] = one[c] * keep + two[c] * take;
    }
  };
  const auto done = [&](int64_t i, A* sums) {
    A *shift = sums + width, *inverse = shift + heads;
    if constexpr (Score::kSoftmax) {
      A* norm = static_cast<A*>(a.norm) + i * 2 * heads;
      for (int64_t h = 0; h < heads; ++h) {
        inverse[h] = inverse[h] == A(0) ? A(0) : A(1) / inverse[h];
        norm[h] = shift[h];
        norm[heads + h] = inverse[h];
      }
    } else {
      std::fill(inverse, inverse + heads, A(1));
    }
    store_scaled(size, sums, inverse, score.bias(i), static_cast<T*>(a.out) + i * width);
  };
  const int64_t buffer = kPiece * heads + 16 + (Score::kEdgeValues ? width : 0);
  reduce_rows<A>(g.rowptr, g.num_dst, a.threads, width + 2 * heads, buffer, part, merge, done);
}

// Gradients by source, over the transposed rows; each chunk of edges in three steps, of which the
// middle one runs over (edge, head) in flat arrays. Leaves the scores' gradients in `scratch`.
template <class Score>
void backward_sources(const Score& score) {
  using T = typename Score::T;
  using I = typename Score::I;
  using A = typename Score::A;
  const GraphattnAttention& a = score.a;
  const auto& g = score.graph;
  const auto size = score.size;
  const auto heads = score.heads;
  const int64_t width = score.width, flat = kChunk * heads;
  const int64_t record_size = (3 + Score::kRecord) * heads;
  const Dropout dropout(a.dropout, a.seed);
  const A* record = static_cast<const A*>(a.record);
  A* ds = static_cast<A*>(a.scratch);
  const int64_t acc_size = width + score.source_size();
  const auto part = [&](int64_t j, int64_t begin, int64_t end, A* acc, A* buffer) {
    A *xj = buffer, *sums = xj + width;
    A *dot = sums + width, *z = dot + flat, *shift = z + flat, *mean = shift + flat;
    A *inverse = mean + flat, *factor = inverse + flat, *weight = factor + flat, *more = weight + flat;
    uint32_t* low = reinterpret_cast<uint32_t*>(more + flat);
    uint32_t* high = low + flat;
    std::fill(acc, acc + acc_size, A(0));
    for (int64_t c = 0; c < width; ++c) xj[c] = load(score.node(0, j)[c]);
    for (int64_t first = begin; first < end; first += kChunk) {
      const int64_t count = std::min<int64_t>(kChunk, end - first);
      const I *row = g.trow + first, *position = g.position + first;
      for (int64_t t = 0; t < count; ++t) {
        const int64_t i = row[t];
        // Beyond the row the next source's edges follow.
        if (first + t + kAhead < g.num_edges) {
          const int64_t next = row[t + kAhead];
          __builtin_prefetch(ds + position[t + kAhead] * heads, 1);
          if (Score::kSoftmax) prefetch(record + next * record_size, record_size * sizeof(A));
          score.prefetch_destination(next);
        }
        dots(size, score.grad(i), xj, dot + t * heads);
        if (Score::kEdgeValues && a.edge_x != nullptr) {
          dots(size, score.grad(i), score.edge_x(position[t]), more);
          for (int64_t h = 0; h < heads; ++h) dot[t * heads + h] += more[h];
        }
        const A* rec = record + i * record_size;
        score.score_edge(j, i, position[t], rec + 3 * heads, z + t * heads);
        if constexpr (Score::kSoftmax) {
#pragma omp simd
          for (int64_t h = 0; h < heads; ++h) {
            shift[t * heads + h] = rec[h];
            inverse[t * heads + h] = rec[heads + h];
            mean[t * heads + h] = rec[2 * heads + h];
          }
        }
      }
      if constexpr (Score::kSoftmax) {
        drop_factors(dropout, position, count, g.num_edges, heads, low, high, factor);
#pragma omp simd
        for (int64_t k = 0; k < count * heads; ++k) {
          const A alpha = fast_exp(score.activated(z[k]) - shift[k]) * inverse[k];
          weight[k] = factor[k] * alpha;
          dot[k] = alpha * (factor[k] * dot[k] - mean[k]) * score.slope(z[k]);
        }
      } else {
        std::copy(z, z + count * heads, weight);
      }
      // Fetches the gradients for the edges behind this chunk, while there is nothing else to fetch.
      weighted_sum<kChunk>(size, count, g.num_edges - first, row, weight, score.grad(0), width, sums);
      for (int64_t c = 0; c < width; ++c) acc[c] += sums[c];
      for (int64_t t = 0; t < count; ++t) {
        A* place = ds + position[t] * heads;
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) place[h] = dot[t * heads + h];
        score.add_source(j, row[t], position[t], dot + t * heads, weight + t * heads, acc);
      }
    }
  };
  const auto done = [&](int64_t j, A* acc) {
    T* dx = score.template grad_node<T>(0, j);
    for (int64_t c = 0; c < width; ++c) store(acc[c], dx + c);
    score.store_source(j, acc);
  };
  reduce_rows<A>(g.tptr, g.num_src, a.threads, acc_size, 2 * width + 10 * flat, part,
                 adder<A>(acc_size), done);
}

// Gradients by destination, from those of the scores.
template <class Score>
void backward_destinations(const Score& score) {
  using A = typename Score::A;
  const GraphattnAttention& a = score.a;
  const auto& g = score.graph;
  const auto heads = score.heads;
  const int64_t acc_size = score.destination_size();
  if (acc_size == 0 && a.grad_edge_score == nullptr) return;
  const A* ds = static_cast<const A*>(a.scratch);
  A* dr = static_cast<A*>(a.grad_edge_score);
  const auto part = [&](int64_t i, int64_t begin, int64_t end, A* acc, A* buffer) {
    std::fill(acc, acc + acc_size, A(0));
    if (dr != nullptr)
      for (int64_t p = begin; p < end; ++p)
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) dr[g.edge[p] * heads + h] = ds[p * heads + h];
    score.add_destination(i, begin, end, ds, acc, buffer);
  };
  const auto done = [&](int64_t i, A* acc) { score.store_destination(i, acc); };
  reduce_rows<A>(g.rowptr, g.num_dst, a.threads, acc_size, score.width, part, adder<A>(acc_size),
                 done);
}

template <class Score>
void attend_backward(const GraphattnAttention& a) {
  using T = typename Score::T;
  using A = typename Score::A;
  const Score score(a);
  const auto size = score.size;
  const auto heads = score.heads;
  const int64_t width = score.width;
  if constexpr (Score::kSoftmax) {
    for_rows<A>(score.graph.num_dst, a.threads, width, [&](int64_t i, A* out) {
      A* rec = static_cast<A*>(a.record) + i * (3 + Score::kRecord) * heads;
      const A* norm = static_cast<const A*>(a.norm) + i * 2 * heads;
      const T* stored = static_cast<const T*>(a.out) + i * width;
#pragma omp simd
      for (int64_t h = 0; h < 2 * heads; ++h) rec[h] = norm[h];
      // <grad, out> equals the sum over the row of coefficient times its gradient.
      const A* bias = score.bias(i);
      if (bias == nullptr) {
        dots(size, score.grad(i), stored, rec + 2 * heads);
      } else {
        for (int64_t c = 0; c < width; ++c) out[c] = load(stored[c]) - bias[c];
        dots(size, score.grad(i), out, rec + 2 * heads);
      }
      score.fill_record(i, rec + 3 * heads);
    });
  }
  backward_sources(score);
  backward_destinations(score);
}

// Runs one direction of a kernel for the types of its arguments; see `for_type`.
template <template <class, class, int> class Score>
int attend(const GraphattnAttention* args, int dtype, int index_bytes, int backward) {
  return for_type(dtype, index_bytes, [&](auto value, auto index) {
    using T = decltype(value);
    using I = decltype(index);
    with_heads<T>(args->heads, [&](auto heads) {
      constexpr int H = heads;
      using S = Score<T, I, H>;
      backward ? attend_backward<S>(*args) : attend_forward<S>(*args);
    });
  });
}

}  // namespace GRAPHATTN_ISA
