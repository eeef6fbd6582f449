// Edge lists: counting sort into rows by destination and by source, and a hash of their content.
//
// Plain C interface: the caller owns every array and has made it large enough. Sorts are stable, so
// that the edges of a row keep the order in which the user gave them and every sum over a row is
// defined.

#include "common.hpp"

namespace {

// Places items with keys[i] in [0, num_keys) in stable order of their key: `order[p]` is the item at
// position p, `ptr[k]` the first position of key k. Returns the first item whose key is out of
// range, or -1.
template <typename Key, typename Out>
int64_t counting_sort(const Key* keys, int64_t num_items, int64_t num_keys, Out* ptr, Out* order) {
  std::fill(ptr, ptr + num_keys + 1, Out{0});
  for (int64_t i = 0; i < num_items; ++i) {
    if (keys[i] < 0 || static_cast<int64_t>(keys[i]) >= num_keys) return i;
    ++ptr[keys[i] + 1];
  }
  for (int64_t k = 0; k < num_keys; ++k) ptr[k + 1] += ptr[k];
  // ptr[k] walks from the start of key k to its end; shifting by one restores it afterwards.
  for (int64_t i = 0; i < num_items; ++i) order[ptr[keys[i]]++] = static_cast<Out>(i);
  for (int64_t k = num_keys; k > 0; --k) ptr[k] = ptr[k - 1];
  ptr[0] = 0;
  return -1;
}

template <typename Key, typename Out>
int64_t build_csr(const Key* src, const Key* dst, int64_t num_edges, int64_t num_src,
                  int64_t num_dst, Out* rowptr, Out* col, Out* edge, Out* tptr, Out* trow,
                  Out* position) {
  const int64_t bad_dst = counting_sort(dst, num_edges, num_dst, rowptr, edge);
  if (bad_dst >= 0) return bad_dst;
  for (int64_t p = 0; p < num_edges; ++p) {
    const Key j = src[edge[p]];
    if (j < 0 || static_cast<int64_t>(j) >= num_src) return edge[p];
    col[p] = static_cast<Out>(j);
  }
  // Transposing the CSR, not the edge list, makes `position` point into the CSR.
  counting_sort(col, num_edges, num_src, tptr, position);
  for (int64_t t = 0; t < num_edges; ++t) trow[t] = static_cast<Out>(dst[edge[position[t]]]);
  return -1;
}

// Of a list of edges `stride` entries apart, the rows by destination. The nodes below `num_loops` have
// one self-loop each: the first one of the list counts, its further copies are left out, and where
// there is none it comes last in its row, as edge num_edges + node. Returns the first edge that is out
// of range, or -1.
template <typename Key>
int64_t build_rows(const Key* src, const Key* dst, int64_t stride, int64_t num_edges, int64_t num_loops,
                   GraphattnGraph* g, int64_t* rowptr, int32_t* col, uint32_t* edge) {
  std::vector<uint8_t> looped(static_cast<size_t>(num_loops), 0);
  // Whether an edge is left out; to be asked in the order of edges.
  const auto repeats_a_loop = [&](Key j, Key i) {
    if (j != i || static_cast<int64_t>(i) >= num_loops) return false;
    if (looped[i] != 0) return true;
    looped[i] = 1;
    return false;
  };
  std::fill(rowptr, rowptr + g->num_dst + 1, int64_t{0});
  for (int64_t e = 0; e < num_edges; ++e) {
    const Key j = src[e * stride], i = dst[e * stride];
    if (i < 0 || static_cast<int64_t>(i) >= g->num_dst) return e;
    if (j < 0 || static_cast<int64_t>(j) >= g->num_src) return e;
    if (!repeats_a_loop(j, i)) ++rowptr[i + 1];
  }
  for (int64_t i = 0; i < num_loops; ++i) rowptr[i + 1] += looped[i] == 0;
  g->longest_row = 0;
  for (int64_t i = 0; i < g->num_dst; ++i) {
    g->longest_row = std::max(g->longest_row, rowptr[i + 1]);
    rowptr[i + 1] += rowptr[i];
  }
  g->num_edges = rowptr[g->num_dst];
  std::fill(looped.begin(), looped.end(), uint8_t{0});
  // rowptr[i] walks from the start of row i to its end; shifting by one restores it afterwards.
  for (int64_t e = 0; e < num_edges; ++e) {
    const Key j = src[e * stride], i = dst[e * stride];
    if (repeats_a_loop(j, i)) continue;
    col[rowptr[i]] = static_cast<int32_t>(j);
    edge[rowptr[i]++] = static_cast<uint32_t>(e);
  }
  for (int64_t i = 0; i < num_loops; ++i) {
    if (looped[i] != 0) continue;
    col[rowptr[i]] = static_cast<int32_t>(i);
    edge[rowptr[i]++] = static_cast<uint32_t>(num_edges + i);
  }
  for (int64_t i = g->num_dst; i > 0; --i) rowptr[i] = rowptr[i - 1];
  rowptr[0] = 0;
  return -1;
}

}  // namespace

// Rows by destination of an edge list whose indices have 4 or 8 bytes: fills the three arrays, the
// lengths of num_edges + num_loops at most, and the sizes of the graph that were not known.
GRAPHATTN_EXPORT int64_t graphattn_build_rows(const void* src, const void* dst, int64_t bytes,
                                              int64_t stride, int64_t num_edges, int64_t num_loops,
                                              GraphattnGraph* g, int64_t* rowptr, int32_t* col,
                                              uint32_t* edge) {
  const auto build = [&](auto key) {
    using Key = decltype(key);
    return build_rows(static_cast<const Key*>(src), static_cast<const Key*>(dst), stride, num_edges,
                      num_loops, g, rowptr, col, edge);
  };
  return bytes == 4 ? build(int32_t{}) : build(int64_t{});
}

// The same edges by source, in the order of their positions.
GRAPHATTN_EXPORT void graphattn_transpose(GraphattnGraph* g, int64_t* tptr, int32_t* trow,
                                          uint32_t* position) {
  std::fill(tptr, tptr + g->num_src + 1, int64_t{0});
  for (int64_t p = 0; p < g->num_edges; ++p) ++tptr[g->col[p] + 1];
  g->longest_column = 0;
  for (int64_t j = 0; j < g->num_src; ++j) {
    g->longest_column = std::max(g->longest_column, tptr[j + 1]);
    tptr[j + 1] += tptr[j];
  }
  for (int64_t i = 0; i < g->num_dst; ++i)
    for (int64_t p = g->rowptr[i]; p < g->rowptr[i + 1]; ++p) {
      const int64_t t = tptr[g->col[p]]++;
      trow[t] = static_cast<int32_t>(i);
      position[t] = static_cast<uint32_t>(p);
    }
  for (int64_t j = g->num_src; j > 0; --j) tptr[j] = tptr[j - 1];
  tptr[0] = 0;
}

// Edges for which backward needs room: `wanted`, but no fewer than enter any 64 rows that belong
// together; see attend_backward.
GRAPHATTN_EXPORT int64_t graphattn_capacity(const GraphattnGraph* g, int64_t wanted) {
  constexpr int64_t together = 64;  // kBlock
  if (g->num_edges <= wanted) return g->num_edges;
  for (int64_t i = 0; i < g->num_dst; i += together)
    wanted = std::max(wanted, g->rowptr[std::min(i + together, g->num_dst)] - g->rowptr[i]);
  return wanted;
}

// A hash of the entries of a matrix of integers of 4 or 8 bytes, with strides in entries: of all of
// them, or of `samples` evenly spaced ones.
GRAPHATTN_EXPORT uint64_t graphattn_fingerprint(const void* base, int64_t bytes, int64_t rows,
                                                int64_t columns, int64_t row_stride,
                                                int64_t column_stride, int64_t samples) {
  constexpr int kLanes = 8;
  uint64_t hash[kLanes] = {};
  const auto take = [&](int lane, uint64_t value) {
    const uint64_t mixed = (hash[lane] ^ value) * 0x9e3779b97f4a7c15u;
    hash[lane] = mixed ^ (mixed >> 29);
  };
  const auto of = [&](auto key) {
    const auto* const x = static_cast<const decltype(key)*>(base);
    for (int64_t r = 0; r < rows; ++r) {
      const auto* const row = x + r * row_stride;
      if (samples < columns) {
        for (int64_t k = 0; k < samples; ++k)
          take(static_cast<int>(k % kLanes),
               static_cast<uint64_t>(row[(columns - 1) * k / std::max<int64_t>(samples - 1, 1) * column_stride]));
        continue;
      }
      int64_t c = 0;
      for (; c + kLanes <= columns; c += kLanes)
        for (int l = 0; l < kLanes; ++l) take(l, static_cast<uint64_t>(row[(c + l) * column_stride]));
      for (; c < columns; ++c) take(0, static_cast<uint64_t>(row[c * column_stride]));
    }
  };
  bytes == 4 ? of(int32_t{}) : of(int64_t{});
  uint64_t all = static_cast<uint64_t>(columns);
  for (const uint64_t h : hash) {
    all = (all ^ h) * 0xbf58476d1ce4e5b9u;
    all ^= all >> 31;
  }
  return all;
}

#define GRAPHATTN_BUILD_CSR(NAME, KEY, OUT)                                                       \
  GRAPHATTN_EXPORT int64_t NAME(const KEY* src, const KEY* dst, int64_t num_edges, int64_t num_src,      \
                          int64_t num_dst, OUT* rowptr, OUT* col, OUT* edge, OUT* tptr, OUT* trow, \
                          OUT* position) {                                                        \
    return build_csr(src, dst, num_edges, num_src, num_dst, rowptr, col, edge, tptr, trow,         \
                     position);                                                                   \
  }

GRAPHATTN_BUILD_CSR(graphattn_build_csr_i64, int64_t, int64_t)
GRAPHATTN_BUILD_CSR(graphattn_build_csr_i32, int32_t, int32_t)
