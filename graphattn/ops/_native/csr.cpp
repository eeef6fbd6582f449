// Counting sort of an edge list into CSR by destination and its transpose.
//
// Plain C interface: the caller owns every array and has made it large enough. Stable, so that the
// edges of a row keep the order in which the user gave them and every sum over a row is defined.

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

}  // namespace

#define GRAPHATTN_BUILD_CSR(NAME, KEY, OUT)                                                       \
  GRAPHATTN_EXPORT int64_t NAME(const KEY* src, const KEY* dst, int64_t num_edges, int64_t num_src,      \
                          int64_t num_dst, OUT* rowptr, OUT* col, OUT* edge, OUT* tptr, OUT* trow, \
                          OUT* position) {                                                        \
    return build_csr(src, dst, num_edges, num_src, num_dst, rowptr, col, edge, tptr, trow,         \
                     position);                                                                   \
  }

GRAPHATTN_BUILD_CSR(graphattn_build_csr_i64, int64_t, int64_t)
GRAPHATTN_BUILD_CSR(graphattn_build_csr_i32, int32_t, int32_t)
