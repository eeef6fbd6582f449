// Attention over the edges of a graph, forward and backward, for any score.
//
// Every node sums the features of its sources with the softmax of their scores as weights. What a
// score is, and what its gradients are, a class says (gat.cpp, gatv2.cpp, dot.cpp, given.cpp); the
// loops, the softmax, dropout and the sums are here. Nothing of size E x C is ever stored: forward
// keeps two numbers per node and head and the sums, backward computes the coefficients again.
//
// With a_e the coefficient, k_e the factor of dropout, v_e the value and g_i the gradient of the sum o_i,
// the gradient of a score is  a_e (k_e <g_i, v_e> - m_i),  m_i = sum over the row of a_e k_e <g_i, v_e> =
// <g_i, o_i>. The sums are those before a bias and before they are rounded, in memory that the user does
// not see: what he makes of the output is no concern of backward.
//
// Backward takes two passes: by source for the gradients of what belongs to sources and of the scores,
// which stay in `scratch` for the second one, by destination. Where that has no room for all edges, the
// passes run over blocks of destinations.

#pragma once

#include "rows.hpp"

// Arguments of all attention kernels; mirrored by ctypes in graphattn/ops/attend/cpu.py. Strides count
// entries from one node's row to the next. In one block, a gradient may take the place of its operand
// unless the pass by destination gathers that (x of gatv2, the keys of dot), or the place of the sums.
struct GraphattnAttention {
  GraphattnGraph graph;
  int64_t heads, channels, threads;
  double setting, dropout;
  uint64_t seed;
  const void* node[3];  // the features to sum, then what the score needs
  int64_t stride[3];
  const void *edge_x, *edge_score;  // E x HC and E x H in the user's order of edges; each may be null
  const void* bias;                 // HC, added to the sums; may be null
  int64_t bias_stride;              // 0 where all sums get the same
  void *out, *norm;                 // norm: N_dst x 2H, shift and 1 / sum of the softmax
  void* sums;                       // N_dst x HC, may be the bias; null where nobody asks for gradients
  int64_t sums_stride;
  void* alpha;                   // E x H, coefficients in the user's order; out and alpha may be null
  const void *grad, *grad_alpha;  // of these; each may be null
  void* grad_node[3];
  int64_t grad_stride[3];
  void *grad_edge_x, *grad_edge_score;
  void* scratch;  // capacity x H, gradients of scores in the order of rows
  void* record;   // N_dst x RH: norm, the mean m and what the score adds, side by side
  int64_t capacity;
};

namespace GRAPHATTN_ISA {

// Of a score that is taken as it is.
template <class A>
struct Identity {
  using P = Pack<A, 16>;
  P operator()(const P& z) const { return z; }
  P slope(const P&) const { return P::filled(A(1)); }
};

// Sizes and pointers that all scores have in common.
template <class A_>
struct Operands {
  using A = A_;

  const GraphattnAttention& a;
  const GraphattnGraph& graph;
  const Layout size;
  const int64_t heads, width;

  explicit Operands(const GraphattnAttention& args)
      : a(args),
        graph(args.graph),
        size{args.heads, args.channels},
        heads(size.heads),
        width(size.width()) {}

  // Row of a node operand.
  const A* node(int which, int64_t i) const {
    return static_cast<const A*>(a.node[which]) + i * a.stride[which];
  }
  A* grad_node(int which, int64_t i) const {
    return static_cast<A*>(a.grad_node[which]) + i * a.grad_stride[which];
  }
  // Row of the edge at a position of the CSR, or null.
  const A* edge_x(int64_t position) const {
    if (a.edge_x == nullptr) return nullptr;
    return static_cast<const A*>(a.edge_x) + graph.edge[position] * width;
  }
  A* grad_edge_x(int64_t position) const {
    if (a.grad_edge_x == nullptr) return nullptr;
    return static_cast<A*>(a.grad_edge_x) + graph.edge[position] * width;
  }
  const A* edge_score(int64_t position) const {
    return static_cast<const A*>(a.edge_score) + graph.edge[position] * heads;
  }
  const A* grad(int64_t i) const { return static_cast<const A*>(a.grad) + i * width; }
  const A* norm(int64_t i) const { return static_cast<const A*>(a.norm) + i * 2 * heads; }
  A* sums(int64_t i) const {
    return a.sums == nullptr ? nullptr : static_cast<A*>(a.sums) + i * a.sums_stride;
  }
  // What is added to the sums of a destination, or null.
  const A* bias(int64_t i) const {
    if (a.bias == nullptr) return nullptr;
    return static_cast<const A*>(a.bias) + i * a.bias_stride;
  }
  // z[e, :] += scores of the edges at positions of which `at` tells the e-th.
  template <class At>
  void add_edge_scores(int64_t count, const At& at, A* z) const {
    if (a.edge_score == nullptr) return;
    with_heads(heads, [&](auto n) {
      for (int64_t e = 0; e < count; ++e) {
        const A* r = edge_score(at(e));
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) z[e * n + h] += r[h];
      }
    });
  }
  // Adds to a row of gradients, or replaces it.
  void keep(const A* sums, bool add, A* row) const {
    for (int64_t c = 0; c < width; ++c) row[c] = add ? row[c] + sums[c] : sums[c];
  }

  // What a score class says unless it hides these.
  static constexpr bool kSoftmax = true;      // else scores are the weights
  static constexpr bool kEdgeValues = false;  // edge_x is part of what is summed
  static constexpr int kRecord = 0;          // numbers per head that it adds to the record
  int64_t source_size() const { return 0; }       // sums per source beside those of the features
  int64_t destination_size() const { return 0; }  // sums per destination
  void fill_record(int64_t, A*) const {}
  void prefetch_destination(int64_t) const {}
  Identity<A> activation() const { return {}; }
  void add_source(int64_t, int64_t, int64_t, const A*, const A*, A*, A*) const {}
  void store_source(int64_t, A*, bool) const {}
  void add_destination(int64_t, int64_t, int64_t, const A*, A*, A*) const {}
  void store_destination(int64_t, const A*) const {}
};

template <class Score>
void attend_forward(const GraphattnAttention& a) {
  using A = typename Score::A;
  const Score score(a);
  const auto& g = score.graph;
  const Layout size = score.size;
  const int64_t heads = score.heads, width = a.out == nullptr ? 0 : score.width;
  const Dropout dropout(a.dropout, a.seed);
  const Rows rows{0, g.num_dst, g.rowptr, g.rowptr + 1, g.longest_row};
  const int64_t room = padded(rows.room() * heads), work = 2 * period_of(heads);
  // The accumulator of a row: sums, and shift and total of the softmax.
  const auto part = [&](int64_t i, int64_t begin, int64_t end, A* sums, A* p) {
    const int64_t degree = end - begin;
    A *shift = sums + width, *total = shift + heads, *more = p + room;
    score.score_row(i, begin, degree, p);
    if constexpr (Score::kSoftmax) {
      softmax_row(degree, heads, score.activation(), p, shift, total, more);
      if (width == 0) return;
      drop(dropout, static_cast<uint64_t>(begin) * heads, degree * heads, p);
    }
    const int64_t known = g.num_edges - begin;
    weighted_sum(size, degree, known, g.col + begin, p, score.node(0, 0), a.stride[0], sums);
    if (Score::kEdgeValues && a.edge_x != nullptr) {
      const A* edge_x = static_cast<const A*>(a.edge_x);
      weighted_sum(size, degree, known, g.edge + begin, p, edge_x, width, more);
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
        keep = *total == A(0) ? A(0) : fast_exp(*shift - most);
        take = fast_exp(shift_two - most);
        *total = *total * keep + total_two * take;
        *shift = most;
      }
      if (width == 0) continue;
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
    if (width == 0) return;
    scale(size, sums, inverse, score.bias(i), static_cast<A*>(a.out) + i * width, score.sums(i));
  };
  const int64_t buffer = room + std::max(work, Score::kEdgeValues ? width : 0);
  reduce_rows<A>(rows, a.threads, width + 2 * heads, buffer, part, merge, done);
}

// Coefficients of all edges in the user's order, from the norms that forward left.
template <class Score>
void all_coefficients(const GraphattnAttention& a) {
  using A = typename Score::A;
  const Score score(a);
  const auto& g = score.graph;
  const int64_t heads = score.heads;
  A* alpha = static_cast<A*>(a.alpha);
  const Rows rows{0, g.num_dst, g.rowptr, g.rowptr + 1, g.longest_row};
  const int64_t room = padded(rows.room() * heads), buffer = room + 2 * period_of(heads);
  const auto part = [&](int64_t i, int64_t begin, int64_t end, A* p) {
    score.score_row(i, begin, end - begin, p);
    coefficients(end - begin, heads, p, score.norm(i), score.activation(), p, p + room);
    with_heads(heads, [&](auto n) {
      for (int64_t e = begin; e < end; ++e, p += n)
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) alpha[g.edge[e] * n + h] = p[h];
    });
  };
  for_short_rows<A>(rows, a.threads, buffer,
                    [&](int64_t i, A* p) { part(i, g.rowptr[i], g.rowptr[i + 1], p); });
  const auto pieces = pieces_of(rows);
  for_each<A>(static_cast<int64_t>(pieces.size()), a.threads, buffer, 1, [&](int64_t k, A* p) {
    part(pieces[k].row, pieces[k].begin, pieces[k].end, p);
  });
}

// A block of destinations and the edges that enter it, by destination and by source.
struct Block {
  Rows dst, src;
  bool more;  // not the first one: sums by source are added to what is there
};

template <class Score>
class Backward {
  using A = typename Score::A;

 public:
  explicit Backward(const GraphattnAttention& args) : Backward(args, args.graph.num_edges) {}

  // Runs the passes over blocks of destinations that fill the scratch.
  void run() {
    if (Score::kSoftmax) fill_records();
    const Rows dst{0, g.num_dst, g.rowptr, g.rowptr + 1, g.longest_row};
    const Rows src{0, g.num_src, g.tptr, g.tptr + 1, g.longest_column};
    if (g.num_edges <= a.capacity) return run({dst, src, false});
    // By source, edges ascend by destination: those of a block follow each other. They are moved
    // together, so that what is fetched ahead is what comes next.
    std::vector<int64_t> next(g.tptr, g.tptr + g.num_src), end(next), ptr(next);
    const std::unique_ptr<int32_t[]> row(new int32_t[a.capacity]);
    const std::unique_ptr<uint32_t[]> position(new uint32_t[a.capacity]);
    GraphattnAttention part = a;
    part.graph.trow = row.get();
    part.graph.position = position.get();
    for (int64_t i = 0, last; i < g.num_dst; i = last) {
      for (last = i; last < g.num_dst; last = std::min(last + kBlock, g.num_dst))
        if (last > i && g.rowptr[std::min(last + kBlock, g.num_dst)] - g.rowptr[i] > a.capacity) break;
      for_rows<A>(g.num_src, a.threads, 0, [&](int64_t j, A*) {
        const int32_t* behind = g.trow + g.tptr[j + 1];
        end[j] = std::lower_bound(g.trow + next[j], behind, static_cast<int32_t>(last)) - g.trow;
      });
      int64_t size = 0;
      for (int64_t j = 0; j < g.num_src; ++j) {
        ptr[j] = size;
        size += end[j] - next[j];
      }
      for_rows<A>(g.num_src, a.threads, 0, [&](int64_t j, A*) {
        std::copy(g.trow + next[j], g.trow + end[j], row.get() + ptr[j]);
        std::copy(g.position + next[j], g.position + end[j], position.get() + ptr[j]);
        end[j] = ptr[j] + end[j] - next[j];
      });
      Backward(part, size).run({{i, last, dst.begin, dst.end, dst.longest},
                                {0, g.num_src, ptr.data(), end.data(), src.longest},
                                i > 0});
      for (int64_t j = 0; j < g.num_src; ++j) next[j] += end[j] - ptr[j];
    }
  }

 private:
  // With so many edges by source.
  Backward(const GraphattnAttention& args, int64_t edges)
      : score(args),
        a(args),
        g(args.graph),
        heads(args.heads),
        known(edges),
        scratch(static_cast<A*>(args.scratch)) {}

  const Score score;
  const GraphattnAttention& a;
  const GraphattnGraph& g;
  const int64_t heads, known;
  A* const scratch;
  int64_t first = 0;  // position of the first edge in `scratch`

  static constexpr int kRecordSize = 3 + Score::kRecord;
  const A* record_of(int64_t i) const {
    return static_cast<const A*>(a.record) + i * (kRecordSize * heads);
  }

  void run(const Block& block) {
    first = block.dst.begin[block.dst.first];
    by_source(block);
    by_destination(block);
  }

  void fill_records() const {
    const Rows rows{0, g.num_dst, g.rowptr, g.rowptr + 1, g.longest_row};
    for_rows<A>(g.num_dst, a.threads, 0, [&](int64_t i, A*) {
      A *record = const_cast<A*>(record_of(i)), *mean = record + 2 * heads;
      std::copy(score.norm(i), score.norm(i) + 2 * heads, record);
      if (a.grad != nullptr) dots(score.size, score.grad(i), score.sums(i), mean);
      else std::fill(mean, mean + heads, A(0));
      score.fill_record(i, mean + heads);
    });
    if (a.grad_alpha == nullptr) return;
    // The gradients of the coefficients themselves add to the mean.
    const int64_t room = padded(rows.room() * heads);
    const auto part = [&](int64_t i, int64_t begin, int64_t end, A* acc, A* alpha) {
      A *c = alpha + room, *work = c + room;
      score.score_row(i, begin, end - begin, alpha);
      coefficients(end - begin, heads, alpha, score.norm(i), score.activation(), alpha, work);
      gather_grad_alpha(end - begin, [begin](int64_t e) { return begin + e; }, c);
      mean_over_edges(end - begin, heads, alpha, c, acc, work);
    };
    const auto done = [&](int64_t i, A* acc) {
      A* mean = const_cast<A*>(record_of(i)) + 2 * heads;
      for (int64_t h = 0; h < heads; ++h) mean[h] += acc[h];
    };
    reduce_rows<A>(rows, a.threads, heads, 2 * room + 2 * period_of(heads), part, adder<A>(heads), done);
  }

  // Gradients of the coefficients at positions of which `at` tells the e-th.
  template <class At>
  void gather_grad_alpha(int64_t count, const At& at, A* out) const {
    const A* given = static_cast<const A*>(a.grad_alpha);
    for (int64_t e = 0; e < count; ++e) {
      const A* from = given + g.edge[at(e)] * heads;
      std::copy(from, from + heads, out + e * heads);
    }
  }

  // Where a chunk of edges of a source keeps its numbers.
  struct Chunk {
    A *dot, *z, *shift, *inverse, *mean, *factor, *weight;
    uint32_t *low, *high;

    static constexpr int kArrays = 9;
    Chunk(A* at, int64_t flat)
        : dot(at), z(dot + flat), shift(z + flat), inverse(shift + flat), mean(inverse + flat),
          factor(mean + flat), weight(factor + flat),
          low(reinterpret_cast<uint32_t*>(weight + flat)), high(low + flat) {}
  };

  // Gradients by source, over the transposed rows, a chunk of edges at a time. Leaves those of the
  // scores in `scratch`.
  void by_source(const Block& block) const {
    const Layout size = score.size;
    const int64_t width = score.width, flat = padded(kChunk * heads);
    const int64_t acc_size = width + score.source_size();
    const auto part = [&](int64_t j, int64_t begin, int64_t end, A* acc, A* sums) {
      const Chunk c(sums + width, flat);
      std::fill(acc, acc + acc_size, A(0));
      for (int64_t t0 = begin; t0 < end; t0 += kChunk) {
        const int64_t count = std::min<int64_t>(kChunk, end - t0);
        const int32_t* row = g.trow + t0;
        inner_products(j, t0, count, c);
        weigh(j, t0, count, c);
        if (a.grad != nullptr) {
          // Fetches for the edges behind this chunk, while there is nothing else to fetch.
          weighted_sum<kChunk>(size, count, known - t0, row, c.weight, score.grad(0), width, sums);
          for (int64_t k = 0; k < width; ++k) acc[k] += sums[k];
        }
        keep(t0, count, c.dot);
        score.add_source(j, t0, count, c.dot, c.weight, acc, sums);
      }
    };
    const auto done = [&](int64_t j, A* acc) {
      score.store_source(j, acc, block.more);
      if (a.grad_node[0] != nullptr) score.keep(acc, block.more, score.grad_node(0, j));
    };
    const int64_t buffer = width + Chunk::kArrays * flat;
    reduce_rows<A>(block.src, a.threads, acc_size, buffer, part, adder<A>(acc_size), done);
  }

  // Of a chunk of edges <g_i, v_j>; fetches ahead what the other functions read.
  void inner_products(int64_t j, int64_t t0, int64_t count, const Chunk& c) const {
    const int32_t* row = g.trow + t0;
    const uint32_t* position = g.position + t0;
    const A* xj = score.node(0, j);
    for (int64_t t = 0; t < count; ++t) {
      // Beyond the row the next source's edges follow.
      if (t0 + t + kAhead < known) {
        __builtin_prefetch(scratch + (position[t + kAhead] - first) * heads, 1);
        if (Score::kSoftmax)
          prefetch(record_of(row[t + kAhead]), kRecordSize * heads * sizeof(A));
        score.prefetch_destination(row[t + kAhead]);
      }
      if (a.grad != nullptr) score.dot_edge(xj, row[t], position[t], c.dot + t * heads);
    }
    if (a.grad == nullptr) std::fill(c.dot, c.dot + count * heads, A(0));
  }

  // From inner products to gradients of scores, in place; and weights of the values.
  void weigh(int64_t j, int64_t t0, int64_t count, const Chunk& c) const {
    const int32_t* row = g.trow + t0;
    const uint32_t* position = g.position + t0;
    if constexpr (!Score::kSoftmax) {
      score.score_column(j, t0, count, c.weight, nullptr);
      return;
    }
    with_heads(heads, [&](auto n) {
      for (int64_t t = 0; t < count; ++t) {
        const A* record = static_cast<const A*>(a.record) + row[t] * (kRecordSize * n);
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) {
          c.shift[t * n + h] = record[h];
          c.inverse[t * n + h] = record[n + h];
          c.mean[t * n + h] = record[2 * n + h];
        }
      }
    });
    score.score_column(j, t0, count, c.z, [&](int64_t i) { return record_of(i) + 3 * heads; });
    drop_factors(Dropout(a.dropout, a.seed), position, count, g.num_edges, heads, c.low, c.high, c.factor);
    for (int64_t k = 0; k < count * heads; k += 16)
      store_pack(load_pack<16>(c.dot + k) * load_pack<16>(c.factor + k), c.dot + k);
    if (a.grad_alpha != nullptr) {
      gather_grad_alpha(count, [&](int64_t t) { return position[t]; }, c.weight);
      for (int64_t k = 0; k < count * heads; ++k) c.dot[k] += c.weight[k];
    }
    const auto activated = score.activation();
    for (int64_t k = 0; k < count * heads; k += 16) {
      const auto z = load_pack<16>(c.z + k);
      const auto alpha =
          fast_exp(activated(z) - load_pack<16>(c.shift + k)) * load_pack<16>(c.inverse + k);
      store_pack(load_pack<16>(c.factor + k) * alpha, c.weight + k);
      const auto gradient = alpha * (load_pack<16>(c.dot + k) - load_pack<16>(c.mean + k));
      store_pack(gradient * activated.slope(z), c.dot + k);
    }
  }

  void keep(int64_t t0, int64_t count, const A* ds) const {
    const uint32_t* position = g.position + t0;
    with_heads(heads, [&](auto n) {
      for (int64_t t = 0; t < count; ++t) {
        A* place = scratch + (position[t] - first) * n;
#pragma omp simd
        for (int64_t h = 0; h < n; ++h) place[h] = ds[t * n + h];
      }
    });
  }

  // Gradients by destination, from those of the scores.
  void by_destination(const Block& block) const {
    const int64_t acc_size = score.destination_size();
    A* by_edge = static_cast<A*>(a.grad_edge_score);
    if (acc_size == 0 && by_edge == nullptr) return;
    const auto part = [&](int64_t i, int64_t begin, int64_t end, A* acc, A* more) {
      const A* ds = scratch + (begin - first) * heads;
      if (by_edge != nullptr)
        for (int64_t e = 0; e < end - begin; ++e)
          std::copy(ds + e * heads, ds + (e + 1) * heads, by_edge + g.edge[begin + e] * heads);
      std::fill(acc, acc + acc_size, A(0));
      score.add_destination(i, begin, end - begin, ds, acc, more);
    };
    const auto done = [&](int64_t i, A* acc) { score.store_destination(i, acc); };
    reduce_rows<A>(block.dst, a.threads, acc_size, score.width, part, adder<A>(acc_size), done);
  }
};

// Runs one direction of a kernel for the type of its arguments; see `for_type`.
template <template <class> class Score>
int attend(const GraphattnAttention* args, int dtype, int backward) {
  return for_type(dtype, [&](auto value) {
    using S = Score<decltype(value)>;
    if (backward) return Backward<S>(*args).run();
    attend_forward<S>(*args);
    if constexpr (S::kSoftmax)
      if (args->alpha != nullptr) all_coefficients<S>(*args);
  });
}

}  // namespace GRAPHATTN_ISA
