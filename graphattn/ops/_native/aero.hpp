// What both directions of a step of AERO-GNN begin with: the weights of the edges.

#pragma once

#include "lanes.hpp"

// Arguments of both directions; mirrored by ctypes in graphattn/ops/aero/cpu.py. All arrays of
// values are contiguous, of one type. The columns of the graph ascend within its rows.
struct GraphattnAero {
  GraphattnGraph graph;
  int64_t heads, channels, threads;
  int64_t symmetric;  // the reverse of the edge at place p is an edge too, at place `position[p]`
  double decay;
  const void *h, *att, *hop_att, *hop_bias;
  void* z;                    // N x HC: sum before the step; forward replaces it by that after it
  void *out, *gamma, *scale;  // next state, its weight, d^-1/2: forward writes, backward reads
  void* grad_out;             // gradient of `out`; used up
  void* grad_z;               // gradient of the sum after the step, replaced by that of the one before
  void *grad_h, *grad_att, *grad_hop, *grad_bias;
  void* exp_z;                // scratch, N x HC
  void* largest;              // scratch, spans
  void *weight, *slope, *dot;  // scratch, E x H; forward only needs the first
  void *eta, *grad_gamma;      // scratch of backward, N x H
  void* parts;                 // scratch of backward, spans x (3 HC + H)
};

namespace GRAPHATTN_ISA {

template <class A>
class Step {
 protected:
  explicit Step(const GraphattnAero& args)
      : a(args),
        g(args.graph),
        size{args.heads, args.channels},
        width(size.width()),
        heads(args.heads),
        symmetric(args.symmetric != 0),
        decay(static_cast<A>(args.decay)) {}

  const GraphattnAero& a;
  const GraphattnGraph& g;
  const Layout size;
  const int64_t width, heads;
  const bool symmetric;
  const A decay;

  static A* at(void* array, int64_t place) { return static_cast<A*>(array) + place; }
  static const A* at(const void* array, int64_t place) {
    return static_cast<const A*>(array) + place;
  }
  // Adds what the block that begins at channel c gives to a head; the first one begins the sum.
  void add(int64_t c, int64_t h, A* sum, A value) const {
    *sum = c == h * size.channels ? value : *sum + value;
  }

  // Scorer of the next state in channel c of head h; that of the decayed sum is C further.
  int64_t hop_place(int64_t c, int64_t h) const { return c + h * size.channels; }

  void prefetch_row(const void* array, const int32_t* node, int64_t edge) const {
    if (edge + kAhead < g.num_edges)
      prefetch(at(array, node[edge + kAhead] * width), width * sizeof(A));
  }

  // Fills `exp_z` with that of the decayed sums; returns whether these are small enough for products
  // of two exponentials.
  bool take_exponentials() {
    for_spans(g.num_dst, a.threads, [&](int64_t span, int64_t first, int64_t last) {
      const A* z = at(a.z, 0);
      A most = 0;
#pragma omp simd reduction(max : most)
      for (int64_t k = first * width; k < last * width; ++k) most = std::max(most, std::abs(z[k]));
      *at(a.largest, span) = decay * most;
      for (int64_t i = first; i < last; ++i)
        for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t) {
          constexpr int W = lanes, NV = packs;
          const int64_t place = i * width + c;
#pragma GCC unroll 4
          for (int v = 0; v < NV * W; v += W)
            store_pack(exp_lanes<W>(decay * load_pack<W>(z + place + v)), at(a.exp_z, place + v));
        });
    });
    A most = 0;
    for (int64_t b = 0; b * kBlock < g.num_dst; ++b) most = std::max(most, *at(a.largest, b));
    return most <= (std::is_same_v<A, double> ? A(300) : A(40));
  }

  // The ends of an edge meet in t = z_i + z_j, decayed; zi is z_i decayed, and the exponential of t
  // is made of those of its ends, or anew.
  template <bool Product, int W>
  Pack<A, W> meet(Pack<A, W> zi, Pack<A, W> exp_i, int64_t place, Pack<A, W>* exp_t) const {
    const Pack<A, W> t = zi + decay * load_pack<W>(at(a.z, place));
    if constexpr (Product) *exp_t = exp_i * load_pack<W>(at(a.exp_z, place));
    else *exp_t = exp_lanes<W>(t);
    return t;
  }

  // Scores of all edges into `weight`. An edge has the score of its reverse: where both are there,
  // one of them is computed.
  template <bool Product>
  void score() {
    for_spans(g.num_dst, a.threads, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int32_t *begin = g.col + g.rowptr[i], *end = g.col + g.rowptr[i + 1];
        if (!symmetric) {
          score_row<Product>(i, begin - g.col, end - g.col);
          continue;
        }
        const int64_t after = std::upper_bound(begin, end, static_cast<int32_t>(i)) - g.col;
        score_row<Product>(i, begin - g.col, after);
        for (int64_t p = begin - g.col; p < after; ++p)
          for (int64_t h = 0; h < heads; ++h)
            *at(a.weight, g.position[p] * heads + h) = *at(a.weight, p * heads + h);
      }
    });
  }

  template <bool Product>
  void score_row(int64_t i, int64_t begin, int64_t end) {
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> zi[NV], exp_i[NV], att[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        zi[v] = decay * load_pack<W>(at(a.z, i * width + c + v * W));
        exp_i[v] = load_pack<W>(at(a.exp_z, i * width + c + v * W));
        att[v] = load_pack<W>(at(a.att, c + v * W));
      }
      for (int64_t p = begin; p < end; ++p) {
        prefetch_row(a.z, g.col, p);
        if (Product) prefetch_row(a.exp_z, g.col, p);
        const int64_t place = g.col[p] * width + c;
        Pack<A, W> sum = {};
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          Pack<A, W> exp_t;
          const Pack<A, W> t = meet<Product, W>(zi[v], exp_i[v], place + v * W, &exp_t);
          sum += att[v] * elu(t, exp_t);
        }
        add(c, h, at(a.weight, p * heads + h), lane_sum(sum));
      }
    });
  }

  // From scores to weights; with Slope also their derivatives, else d^-1/2.
  template <bool Slope>
  void weigh() {
    for_spans(g.num_dst, a.threads, [&](int64_t, int64_t first, int64_t last) {
      const int64_t begin = g.rowptr[first] * heads, end = g.rowptr[last] * heads;
      A* weight = at(a.weight, 0);
      A* slope = Slope ? at(a.slope, 0) : nullptr;
#pragma omp simd
      for (int64_t k = begin; k < end; ++k) {
        A derivative;
        weight[k] = softplus(weight[k], &derivative);
        if (Slope) slope[k] = derivative;
      }
      if (Slope) return;
      for (int64_t i = first; i < last; ++i)
        for (int64_t h = 0; h < heads; ++h) {
          A sum = 0;
          for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p) sum += weight[p * heads + h];
          *at(a.scale, i * heads + h) = sum == A(0) ? A(0) : A(1) / std::sqrt(sum);
        }
    });
  }
};

}  // namespace GRAPHATTN_ISA
