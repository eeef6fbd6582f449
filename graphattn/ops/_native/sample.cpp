// Neighbour sampling: from seeds, hop by hop, to a relabelled subgraph.
//
// Plain C interface. `graphattn_sample_*` makes a subgraph, of which the caller asks the sizes; he
// copies it into arrays of his own and frees it. The definition is reference.py in
// graphattn/ops/sample, and the result equals it exactly: every random number is a hash of (seed,
// hop, row, draw), so neither the number of threads nor their schedule can change it.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#ifdef _WIN32
#define GRAPHATTN_SAMPLE_EXPORT extern "C" __declspec(dllexport)
#else
#define GRAPHATTN_SAMPLE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

#if defined(__GNUC__) || defined(__clang__)
#define GRAPHATTN_PREFETCH(address) __builtin_prefetch(address)
#else
#define GRAPHATTN_PREFETCH(address) static_cast<void>(address)
#endif

namespace {

// Mirrored by graphattn/ops/sample/cpu.py.
enum Status : int64_t { kDone = 0, kBadRow = 1, kBadSource = 2, kLongRow = 3, kNoMemory = 4 };

// The random numbers multiply a length by 63 bits in two 64-bit products.
constexpr int64_t kLongestRow = (int64_t{1} << 31) - 1;
constexpr int64_t kNone = INT64_MAX;
// A thread keeps buffers up to this many entries between calls: fresh memory is slow at first.
constexpr size_t kKept = size_t{1} << 21;
// How many nodes ahead of their use memory is asked for, and of how many rows at a time.
constexpr int64_t kAhead = 32, kRows = 8;
// A thread more is worth its start for so many edges.
constexpr int64_t kEdgesPerThread = 4096;

struct Failure {
  Status status;
  int64_t place;
};

// Finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Number `counter` of the SplitMix64 sequence that starts at `key`; a key in its turn.
inline uint64_t child(uint64_t key, int64_t counter) {
  return mix(key + (static_cast<uint64_t>(counter) + 1) * 0x9e3779b97f4a7c15u);
}

// Uniform in [0, count): floor of count times the 63 high bits over 2^63.
inline int64_t below(uint64_t random, int64_t count) {
  const uint64_t n = static_cast<uint64_t>(count);
  const uint64_t high = random >> 33, low = (random >> 1) & 0xffffffffu;
  return static_cast<int64_t>((high * n + ((low * n) >> 32)) >> 31);
}

template <typename Index>
struct Csr {
  const Index *rowptr, *col;
  int64_t num_nodes, num_edges;
};

// What is drawn in every row of a hop.
struct Draws {
  int64_t fan_out;  // -1: all neighbours
  bool replace;
  uint64_t key;

  bool takes_all(int64_t degree) const {
    return fan_out < 0 || (replace ? degree == 0 : degree <= fan_out);
  }
};

// The nodes that one hop expands, and its edges.
struct Hop {
  int64_t begin, end, first_edge, end_edge;
  int64_t rows() const { return end - begin; }
};

// A set of numbers below 64, in a register.
class FewTaken {
 public:
  bool has(int64_t value) const { return (bits_ >> value) & 1; }
  void add(int64_t value) { bits_ |= uint64_t{1} << value; }
  void remove(int64_t) {}

 private:
  uint64_t bits_ = 0;
};

// A set of larger numbers, emptied in the time it took to fill.
class Taken {
 public:
  explicit Taken(int64_t size) : words_(static_cast<size_t>(size / 64 + 1), 0) {}
  bool has(int64_t value) const { return (word(value) >> (value & 63)) & 1; }
  void add(int64_t value) { word(value) |= uint64_t{1} << (value & 63); }
  void remove(int64_t value) { word(value) = 0; }

 private:
  uint64_t& word(int64_t value) { return words_[static_cast<size_t>(value >> 6)]; }
  uint64_t word(int64_t value) const { return words_[static_cast<size_t>(value >> 6)]; }
  std::vector<uint64_t> words_;
};

// Floyd: draw d comes from the first degree - k + d + 1 neighbours, and is the last of these if it
// was there already. Every set of k is equally likely, in O(k) also at hubs.
template <typename Index, typename Set>
void draw_different(uint64_t key, int64_t k, int64_t start, int64_t degree, Set& taken,
                    Index* position) {
  const int64_t base = degree - k;
  for (int64_t d = 0; d < k; ++d)
    position[d] = static_cast<Index>(below(child(key, d), base + d + 1));
  for (int64_t d = 0; d < k; ++d) {
    const Index drawn = position[d], last = static_cast<Index>(base + d);
    position[d] = taken.has(drawn) ? last : drawn;
    taken.add(position[d]);
  }
  for (int64_t d = 0; d < k; ++d) {
    taken.remove(position[d]);
    position[d] = static_cast<Index>(start + position[d]);
  }
}

// Positions of the neighbours of one node.
template <typename Index>
void draw_row(const Draws& draws, int64_t counter, int64_t start, int64_t degree, Taken& taken,
              Index* position) {
  if (draws.takes_all(degree)) {
    for (int64_t d = 0; d < degree; ++d) position[d] = static_cast<Index>(start + d);
    return;
  }
  const uint64_t key = child(draws.key, counter);
  const int64_t k = draws.fan_out;
  if (draws.replace) {
    for (int64_t d = 0; d < k; ++d)
      position[d] = static_cast<Index>(start + below(child(key, d), degree));
  } else if (degree <= 64) {
    FewTaken few;
    draw_different(key, k, start, degree, few, position);
  } else {
    draw_different(key, k, start, degree, taken, position);
  }
}

// A subgraph in the making, and the memory for the next one.
template <typename Index>
class Sampler {
 public:
  // Throws Failure or std::bad_alloc; then the sampler is of no more use.
  void run(const Csr<Index>& graph, const Index* seeds, int64_t num_seeds, const int64_t* fan_out,
           int64_t num_hops, bool replace, uint64_t seed, int64_t threads) {
    graph_ = graph;
    threads_ = std::max<int64_t>(threads, 1);
    if (static_cast<int64_t>(number_.size()) < graph.num_nodes)
      number_.resize(static_cast<size_t>(graph.num_nodes), Index{-1});
    nodes_.assign(seeds, seeds + num_seeds);
    for (int64_t i = 0; i < num_seeds; ++i) {
      Index& number = number_[seeds[i]];
      if (number < 0)
        number = static_cast<Index>(i);
      else
        repeats_.push_back(i);
    }
    first_.assign(1, 0);
    for (int64_t h = 0, begin = 0; h < num_hops; ++h) {
      const int64_t end = static_cast<int64_t>(nodes_.size());
      hops_.push_back({begin, end, first_[begin], 0});
      draw(hops_.back(), {fan_out[h], replace, child(mix(seed), h)});
      relabel(hops_.back());
      begin = end;
    }
  }

  void sizes(int64_t* nodes_per_hop, int64_t* edges_per_hop) const {
    for (const Hop& hop : hops_) {
      *nodes_per_hop++ = hop.rows();
      *edges_per_hop++ = hop.end_edge - hop.first_edge;
    }
    *nodes_per_hop = static_cast<int64_t>(nodes_.size()) - hops_.back().end;
  }

  void copy(Index* nodes, Index* source, Index* destination, Index* position) const {
    std::copy(nodes_.begin(), nodes_.end(), nodes);
    std::copy(source_.begin(), source_.end(), source);
    std::copy(position_.begin(), position_.end(), position);
    for (size_t i = 0; i + 1 < first_.size(); ++i)
      std::fill(destination + first_[i], destination + first_[i + 1], static_cast<Index>(i));
  }

  // Forgets the subgraph in the time that it took to make, whatever the size of the graph.
  void clear() {
    for (const Index node : nodes_) number_[node] = -1;
    hops_.clear();
    for (auto* buffer : {&nodes_, &source_, &position_, &start_, &degree_}) empty(*buffer);
    empty(first_);
    empty(repeats_);
  }

 private:
  template <typename T>
  static void empty(std::vector<T>& buffer) {
    buffer.clear();
    if (buffer.capacity() > kKept) buffer.shrink_to_fit();
  }

  void draw(Hop& hop, const Draws& draws) {
    const int64_t longest = count(hop, draws);
    source_.resize(static_cast<size_t>(hop.end_edge));
    position_.resize(static_cast<size_t>(hop.end_edge));
    const int64_t edges = hop.end_edge - hop.first_edge;
    const int threads = static_cast<int>(std::min(threads_, edges / kEdgesPerThread + 1));
    // Threads take stretches of equally many edges; what they need is allocated out here, where an
    // exception can leave.
    std::vector<Taken> taken(static_cast<size_t>(threads), Taken(longest));
    std::vector<int64_t> bad(static_cast<size_t>(threads), kNone), row;
    for (int t = 0; t < threads; ++t) row.push_back(row_of(hop, edges / threads * t));
    row.push_back(hop.end);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; ++t) bad[t] = draw_rows(hop, draws, row[t], row[t + 1], taken[t]);
    const int64_t edge = *std::min_element(bad.begin(), bad.end());
    if (edge != kNone) throw Failure{kBadSource, position_[edge]};
  }

  // The counter of a row's random numbers: its node, and a number of its own for a seed that was
  // there before.
  int64_t counter(int64_t i) const {
    const bool repeats = !repeats_.empty() && i <= repeats_.back() &&
                         std::binary_search(repeats_.begin(), repeats_.end(), i);
    return repeats ? graph_.num_nodes + i : static_cast<int64_t>(nodes_[i]);
  }

  // First row of a hop that begins with its edge number `edge` or later.
  int64_t row_of(const Hop& hop, int64_t edge) const {
    const auto begin = first_.begin();
    return std::lower_bound(begin + hop.begin, begin + hop.end, hop.first_edge + edge) - begin;
  }

  // Looks up the rows of a hop; returns the length of the longest one to draw different entries of.
  int64_t count(Hop& hop, const Draws& draws) {
    start_.resize(static_cast<size_t>(hop.rows()));
    degree_.resize(static_cast<size_t>(hop.rows()));
    first_.resize(static_cast<size_t>(hop.end) + 1);
    int64_t longest = 0;
    hop.end_edge = hop.first_edge;
    for (int64_t i = hop.begin; i < hop.end; ++i) {
      if (i + kAhead < hop.end) GRAPHATTN_PREFETCH(graph_.rowptr + nodes_[i + kAhead]);
      const Index node = nodes_[i];
      const int64_t start = graph_.rowptr[node], end = graph_.rowptr[node + 1];
      if (start < 0 || end < start || end > graph_.num_edges) throw Failure{kBadRow, node};
      const int64_t degree = end - start;
      const bool all = draws.takes_all(degree);
      if (!all && degree > kLongestRow) throw Failure{kLongRow, node};
      if (!all && !draws.replace) longest = std::max(longest, degree);
      start_[i - hop.begin] = static_cast<Index>(start);
      degree_[i - hop.begin] = static_cast<Index>(degree);
      first_[i] = hop.end_edge;
      hop.end_edge += all ? degree : draws.fan_out;
    }
    first_[hop.end] = hop.end_edge;
    return longest;
  }

  // Draws in the rows [begin, end); returns the first edge whose source is no node. Sources are
  // read one block of rows later than drawn: by then they have come from memory.
  int64_t draw_rows(const Hop& hop, const Draws& draws, int64_t begin, int64_t end, Taken& taken) {
    Index* const position = position_.data();
    int64_t bad = kNone, drawn = first_[begin];
    for (int64_t block = begin; block < end; block += kRows) {
      const int64_t last = std::min(block + kRows, end), asked = first_[block];
      for (int64_t i = block; i < last; ++i)
        draw_row(draws, counter(i), start_[i - hop.begin], degree_[i - hop.begin], taken,
                 position + first_[i]);
      for (int64_t e = asked; e < first_[last]; ++e) GRAPHATTN_PREFETCH(graph_.col + position[e]);
      bad = std::min(bad, gather(drawn, asked));
      drawn = asked;
    }
    return std::min(bad, gather(drawn, first_[end]));
  }

  // Reads the sources of the edges [begin, end); returns the first one that is no node.
  int64_t gather(int64_t begin, int64_t end) {
    int64_t bad = kNone;
    for (int64_t e = begin; e < end; ++e) {
      const Index source = graph_.col[position_[e]];
      if ((source < 0 || source >= graph_.num_nodes) && bad == kNone) bad = e;
      source_[e] = source;
    }
    return bad;
  }

  // Sources become local numbers; those met for the first time are appended to the nodes.
  void relabel(const Hop& hop) {
    Index *const source = source_.data(), *const number = number_.data();
    for (int64_t e = hop.first_edge; e < hop.end_edge; ++e) {
      if (e + kAhead < hop.end_edge) GRAPHATTN_PREFETCH(number + source[e + kAhead]);
      Index& local = number[source[e]];
      if (local < 0) {
        local = static_cast<Index>(nodes_.size());
        nodes_.push_back(source[e]);
      }
      source[e] = local;
    }
  }

  Csr<Index> graph_;
  int64_t threads_ = 1;
  std::vector<Hop> hops_;
  std::vector<Index> number_;  // local number of every node, -1 where it has none
  std::vector<Index> nodes_, source_, position_;
  std::vector<int64_t> repeats_;       // places of seeds that were there before, rising
  std::vector<int64_t> first_;         // first edge of every expanded node, and the number of edges
  std::vector<Index> start_, degree_;  // where the neighbours of each node of this hop are
};

// The sampler that this thread keeps.
template <typename Index>
std::unique_ptr<Sampler<Index>>& spare() {
  static thread_local std::unique_ptr<Sampler<Index>> kept;
  return kept;
}

template <typename Index>
int64_t sample(const Csr<Index>& graph, const Index* seeds, int64_t num_seeds,
               const int64_t* fan_out, int64_t num_hops, int64_t replace, uint64_t seed,
               int64_t threads, int64_t* place, void** handle) {
  try {
    auto sampler = std::move(spare<Index>());
    if (!sampler) sampler = std::make_unique<Sampler<Index>>();
    sampler->run(graph, seeds, num_seeds, fan_out, num_hops, replace != 0, seed, threads);
    *handle = sampler.release();
    return kDone;
  } catch (const Failure& failure) {
    *place = failure.place;
    return failure.status;
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  } catch (const std::length_error&) {
    return kNoMemory;
  }
}

// Keeps the memory for the next call of this thread.
template <typename Index>
void release(void* handle) {
  auto* const sampler = static_cast<Sampler<Index>*>(handle);
  sampler->clear();
  spare<Index>().reset(sampler);
}

}  // namespace

// Samples. The caller has checked that rowptr[0] = 0, rowptr[num_nodes] = num_edges, and that the
// seeds are nodes; entries in between are checked here, where they are read. Returns a
// Status: with kDone, `handle` is a subgraph to be freed; with kBadRow and kLongRow `place` is the
// row, with kBadSource the position of the entry of `col`.
#define GRAPHATTN_SAMPLE(SUFFIX, INDEX)                                                           \
  GRAPHATTN_SAMPLE_EXPORT int64_t graphattn_sample_##SUFFIX(                                      \
      const INDEX* rowptr, const INDEX* col, int64_t num_nodes, int64_t num_edges,                \
      const INDEX* seeds, int64_t num_seeds, const int64_t* fan_out, int64_t num_hops,            \
      int64_t replace, uint64_t seed, int64_t threads, int64_t* place, void** handle) {           \
    return sample<INDEX>({rowptr, col, num_nodes, num_edges}, seeds, num_seeds, fan_out,          \
                         num_hops, replace, seed, threads, place, handle);                        \
  }                                                                                               \
  /* Number of nodes that each hop added, the seeds first, and of its edges. */                   \
  GRAPHATTN_SAMPLE_EXPORT void graphattn_sample_sizes_##SUFFIX(                                   \
      const void* handle, int64_t* nodes_per_hop, int64_t* edges_per_hop) {                       \
    static_cast<const Sampler<INDEX>*>(handle)->sizes(nodes_per_hop, edges_per_hop);              \
  }                                                                                               \
  GRAPHATTN_SAMPLE_EXPORT void graphattn_sample_copy_##SUFFIX(                                    \
      const void* handle, INDEX* nodes, INDEX* source, INDEX* destination, INDEX* position) {     \
    static_cast<const Sampler<INDEX>*>(handle)->copy(nodes, source, destination, position);       \
  }                                                                                               \
  GRAPHATTN_SAMPLE_EXPORT void graphattn_sample_free_##SUFFIX(void* handle) {                     \
    release<INDEX>(handle);                                                                       \
  }

GRAPHATTN_SAMPLE(i32, int32_t)
GRAPHATTN_SAMPLE(i64, int64_t)
