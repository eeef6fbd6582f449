// Dynamic attention (GATv2): score <att, leaky_relu(l_j + r_i + f_e)>. It needs both ends' whole
// rows, so an edge costs a gather of them in every pass.
//
// The mathematics is that of graphattn/ops/attend/gatv2_score.py.

#include "attention.hpp"

namespace GRAPHATTN_ISA {

// Node operands: l of the sources, which are also the features; r of the destinations; att, H x C in
// `A`. The gradient of att is a sum per block of sources, to be added up in their order.
template <class A>
struct Dynamic : Operands<A> {
  using Base = Operands<A>;
  using Base::a, Base::graph, Base::size, Base::heads, Base::width;

  const A negative_slope;
  const A* att;
  explicit Dynamic(const GraphattnAttention& args)
      : Base(args),
        negative_slope(static_cast<A>(args.setting)),
        att(static_cast<const A*>(args.node[2])) {}

  // l + r + f of W channels.
  template <int W>
  static Pack<A, W> pair(const Pack<A, W>& l, const Pack<A, W>& r, const A* f, int64_t c) {
    return f == nullptr ? l + r : l + r + load_pack<W>(f + c);
  }
  template <int W>
  Pack<A, W> leaky(const Pack<A, W>& t) const {
    return where_positive(t, t, negative_slope * t);
  }

  void score(const A* l, const A* r, const A* f, A* out) const {
    const auto terms = [&](auto lanes, int64_t first, int64_t end) {
      constexpr int W = lanes;
      Pack<A, W> sum = {};
      for (int64_t c = first; c < end; c += W)
        sum += load_pack<W>(att + c) * leaky(pair(load_pack<W>(l + c), load_pack<W>(r + c), f, c));
      return sum;
    };
    head_sums(size, terms, out);
  }

  void score_row(int64_t i, int64_t begin, int64_t degree, A* p) const {
    const int32_t* col = graph.col + begin;
    for (int64_t e = 0; e < degree; ++e) {
      if (begin + e + kAhead < graph.num_edges)
        prefetch(this->node(0, col[e + kAhead]), width * sizeof(A));
      score(this->node(0, col[e]), this->node(1, i), this->edge_x(begin + e), p + e * heads);
    }
  }
  template <class Record>
  void score_column(int64_t j, int64_t t0, int64_t count, A* z, const Record&) const {
    for (int64_t t = 0; t < count; ++t)
      score(this->node(0, j), this->node(1, graph.trow[t0 + t]), this->edge_x(graph.position[t0 + t]),
            z + t * heads);
  }
  void prefetch_destination(int64_t i) const { prefetch(this->node(1, i), width * sizeof(A)); }
  void dot_edge(const A* xj, int64_t i, int64_t, A* out) const { dots(size, this->grad(i), xj, out); }

  int64_t source_size() const { return 2 * width; }  // of l through the scores, and of att
  void add_source(int64_t j, int64_t t0, int64_t count, const A* ds, const A*, A* acc, A*) const {
    add_edges(count, graph.trow + t0, this->node(1, 0), a.stride[1], this->node(0, j), ds,
              [&](int64_t t) { return this->edge_x(graph.position[t0 + t]); }, acc + width,
              acc + 2 * width);
  }
  void store_source(int64_t j, A* acc, bool) const {
    for (int64_t c = 0; c < width; ++c) acc[c] += att[c] * acc[width + c];
    A* sums = static_cast<A*>(a.grad_node[2]) + j / kBlock * width;
    for (int64_t c = 0; c < width; ++c) sums[c] += acc[2 * width + c];
  }

  int64_t destination_size() const { return width; }
  void add_destination(int64_t i, int64_t begin, int64_t degree, const A* ds, A* acc, A*) const {
    add_edges(degree, graph.col + begin, this->node(0, 0), a.stride[0], this->node(1, i), ds,
              [&](int64_t e) { return this->edge_x(begin + e); }, acc, nullptr);
    if (a.grad_edge_x == nullptr) return;
    for (int64_t e = 0; e < degree; ++e) {
      const A *l = this->node(0, graph.col[begin + e]), *r = this->node(1, i);
      const A* f = this->edge_x(begin + e);
      A* df = this->grad_edge_x(begin + e);
      for (int64_t c = 0; c < width; ++c) {
        const A slope = l[c] + r[c] + f[c] > A(0) ? A(1) : negative_slope;
        df[c] = att[c] * (ds[e * heads + c / size.channels] * slope);
      }
    }
  }
  void store_destination(int64_t i, const A* acc) const {
    A* dr = this->grad_node(1, i);
    for (int64_t c = 0; c < width; ++c) dr[c] = att[c] * acc[c];
  }

 private:
  // slopes += ds[e] * leaky_relu'(own + row(e) + f(e)) over edges, and with `values` those +=
  // ds[e] * leaky_relu(the same).
  template <class J, class EdgeX>
  GRAPHATTN_NOINLINE void add_edges(int64_t degree, const J* index, const A* x, int64_t stride, const A* own, const A* ds,
                 const EdgeX& edge_x, A* slopes, A* values) const {
    with_lanes(size.channels, [&](auto lanes) {
      constexpr int W = lanes;
      for_packs<W>(width, [&](auto packs, int64_t first) {
        constexpr int NV = packs;
        Pack<A, W> mine[NV], sum[NV], active[NV] = {};
        int64_t head[NV];
        heads_of<W, NV>(size, first, head);
        for (int v = 0; v < NV; ++v) {
          mine[v] = load_pack<W>(own + first + v * W);
          sum[v] = load_pack<W>(slopes + first + v * W);
          if (values != nullptr) active[v] = load_pack<W>(values + first + v * W);
        }
        for (int64_t e = 0; e < degree; ++e) {
          const A *row = x + index[e] * stride, *f = edge_x(e);
          const A* d = ds + e * heads;
#pragma GCC unroll 8
          for (int v = 0; v < NV; ++v) {
            const int64_t c = first + v * W;
            const auto t = pair(mine[v], load_pack<W>(row + c), f, c);
            const auto one = Pack<A, W>::filled(d[head[v]]);
            sum[v] += where_positive(t, one, negative_slope * one);
            if (values != nullptr) active[v] += d[head[v]] * leaky(t);
          }
        }
        for (int v = 0; v < NV; ++v) {
          store_pack(sum[v], slopes + first + v * W);
          if (values != nullptr) store_pack(active[v], values + first + v * W);
        }
      });
    });
  }
};

}  // namespace GRAPHATTN_ISA

GRAPHATTN_EXPORT int GRAPHATTN_NAME(gatv2)(const GraphattnAttention* args, int dtype, int backward) {
  return GRAPHATTN_ISA::attend<GRAPHATTN_ISA::Dynamic>(args, dtype, backward);
}
