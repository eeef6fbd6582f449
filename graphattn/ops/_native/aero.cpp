// One step of AERO-GNN: attention of the edges from the decayed sum of all states, the next state,
// its weight in the sum; and the gradients of all that.
//
// The mathematics is that of graphattn/ops/aero/reference.py. An edge is scored by the ELU of a
// sum over its ends. Since e^(a + b) = e^a e^b, exponentials are taken per node, not per edge,
// unless a sum is so large that they would overflow.

#include "aero.hpp"

namespace GRAPHATTN_ISA {

template <class A>
class Forward : Step<A> {
 public:
  explicit Forward(const GraphattnAero& args) : Step<A>(args) {}

  void run() {
    const bool product = take_exponentials();
    product ? this->template score<true>() : this->template score<false>();
    this->template weigh<false>();
    for_spans(g.num_dst, a.threads, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        next_state(i);
        add_to_sum(i);
      }
    });
  }

 private:
  using Step<A>::a, Step<A>::g, Step<A>::size, Step<A>::width, Step<A>::heads;
  using Step<A>::decay, Step<A>::at, Step<A>::add;
  using Step<A>::hop_place, Step<A>::prefetch_row, Step<A>::take_exponentials;

  void next_state(int64_t i) {
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> sum[NV] = {};
      for (int64_t p = g.rowptr[i]; p < g.rowptr[i + 1]; ++p) {
        prefetch_row(a.h, g.col, p);
        const int64_t j = g.col[p];
        const A weight = *at(a.weight, p * heads + h) * *at(a.scale, j * heads + h);
        const A* hj = at(a.h, j * width + c);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) sum[v] += weight * load_pack<W>(hj + v * W);
      }
      const A scale = *at(a.scale, i * heads + h);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store_pack(scale * sum[v], at(a.out, i * width + c + v * W));
    });
  }

  void add_to_sum(int64_t i) {
    const A *out = at(a.out, i * width), *exp_z = at(a.exp_z, i * width);
    A *gamma = at(a.gamma, i * heads), *z = at(a.z, i * width);
    for (int64_t h = 0; h < heads; ++h) gamma[h] = *at(a.hop_bias, h);
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> sum = {};
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v, c += W) {
        const A* hop = at(a.hop_att, hop_place(c, h));
        const Pack<A, W> x = load_pack<W>(out + c), y = decay * load_pack<W>(z + c);
        sum += load_pack<W>(hop) * elu(x, exp_lanes<W>(x));
        sum += load_pack<W>(hop + size.channels) * elu(y, load_pack<W>(exp_z + c));
      }
      gamma[h] += lane_sum(sum);
    });
    for (int64_t h = 0; h < heads; ++h)
#pragma omp simd
      for (int64_t c = h * size.channels; c < (h + 1) * size.channels; ++c)
        z[c] += gamma[h] * out[c];
  }
};

template <class A>
class Backward : Step<A> {
 public:
  explicit Backward(const GraphattnAero& args) : Step<A>(args) {}

  void run() {
    const bool product = take_exponentials();
    for_spans(g.num_dst, a.threads, [&](int64_t span, int64_t first, int64_t last) {
      std::fill(part(span), part(span + 1), A(0));
      hop_gradient(first, last, part(span) + width);
    });
    product ? this->template score<true>() : this->template score<false>();
    this->template weigh<true>();
    for_spans(g.num_src, a.threads, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t j = first; j < last; ++j) state_gradient(j);
    });
    product ? sum_gradient<true>() : sum_gradient<false>();
    add_parts();
  }

 private:
  using Step<A>::a, Step<A>::g, Step<A>::size, Step<A>::width, Step<A>::heads;
  using Step<A>::symmetric, Step<A>::decay, Step<A>::at, Step<A>::add;
  using Step<A>::hop_place, Step<A>::prefetch_row, Step<A>::take_exponentials;

  // Sums over a span of the gradients of `att`, `hop_att` and `hop_bias`.
  A* part(int64_t span) const { return at(a.parts, span * (3 * width + heads)); }

  // Through the weights of the next states in the sum, for a span of rows. Begins `eta`.
  void hop_gradient(int64_t first, int64_t last, A* part_hop) {
    for (int64_t i = first; i < last; ++i)
      for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
        constexpr int W = lanes, NV = packs;
        const int64_t place = i * width + c;
        Pack<A, W> sum = {};
#pragma GCC unroll 4
        for (int v = 0; v < NV * W; v += W)
          sum += load_pack<W>(at(a.grad_z, place + v)) * load_pack<W>(at(a.out, place + v));
        add(c, h, at(a.grad_gamma, i * heads + h), lane_sum(sum));
      });
    for (int64_t i = first; i < last; ++i)
      for (int64_t h = 0; h < heads; ++h)
        part_hop[2 * width + h] += *at(a.grad_gamma, i * heads + h);
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> of_out[NV], of_sum[NV], elus_out[NV] = {}, elus_sum[NV] = {};
      const A* hop = at(a.hop_att, hop_place(c, h));
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        of_out[v] = load_pack<W>(hop + v * W);
        of_sum[v] = decay * load_pack<W>(hop + size.channels + v * W);
      }
      for (int64_t i = first; i < last; ++i) {
        const A gamma = *at(a.gamma, i * heads + h), grad = *at(a.grad_gamma, i * heads + h);
        Pack<A, W> along = {};
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const int64_t place = i * width + c + v * W;
          const Pack<A, W> x = load_pack<W>(at(a.out, place)), exp_x = exp_lanes<W>(x);
          const Pack<A, W> y = decay * load_pack<W>(at(a.z, place));
          const Pack<A, W> exp_y = load_pack<W>(at(a.exp_z, place));
          const Pack<A, W> grad_z = load_pack<W>(at(a.grad_z, place));
          const Pack<A, W> grad_out = load_pack<W>(at(a.grad_out, place)) + gamma * grad_z +
                                   grad * of_out[v] * elu_slope(x, exp_x);
          store_pack(grad_out, at(a.grad_out, place));
          store_pack(grad_z + grad * of_sum[v] * elu_slope(y, exp_y), at(a.grad_z, place));
          along += grad_out * x;
          elus_out[v] += grad * elu(x, exp_x);
          elus_sum[v] += grad * elu(y, exp_y);
        }
        add(c, h, at(a.eta, i * heads + h), lane_sum(along));
      }
      A* sums = part_hop + hop_place(c, h);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store_pack(elus_out[v], sums + v * W);
        store_pack(elus_sum[v], sums + size.channels + v * W);
      }
    });
  }

  // Gradient of the states before the step; <grad_out, state of the source> of each edge into `dot`,
  // in a symmetric graph at the place of the reverse edge. Finishes `eta`, the gradient of d.
  void state_gradient(int64_t j) {
    A* eta = at(a.eta, j * heads);
    const A* scale = at(a.scale, j * heads);
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> hj[NV], sum[NV] = {}, along = {};
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) hj[v] = load_pack<W>(at(a.h, j * width + c + v * W));
      for (int64_t t = g.tptr[j]; t < g.tptr[j + 1]; ++t) {
        prefetch_row(a.grad_out, g.trow, t);
        const int64_t i = g.trow[t], place = (symmetric ? t : int64_t(g.position[t])) * heads + h;
        const A weight = *at(a.weight, place) * *at(a.scale, i * heads + h);
        const A* grad = at(a.grad_out, i * width + c);
        Pack<A, W> dot = {};
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const Pack<A, W> gi = load_pack<W>(grad + v * W);
          sum[v] += weight * gi;
          dot += gi * hj[v];
        }
        add(c, h, at(a.dot, place), lane_sum(dot));
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store_pack(scale[h] * sum[v], at(a.grad_h, j * width + c + v * W));
        along += scale[h] * sum[v] * hj[v];
      }
      eta[h] += lane_sum(along);
    });
    for (int64_t h = 0; h < heads; ++h) eta[h] *= scale[h] * scale[h] / A(2);
  }

  // Gradient of the score at place p of row i; in a symmetric graph plus that of the reverse edge.
  A score_gradient(int64_t i, int64_t p, int64_t h) const {
    const int64_t j = g.col[p];
    A dot = *at(a.dot, p * heads + h), eta = *at(a.eta, i * heads + h);
    if (symmetric) {
      dot += *at(a.dot, g.position[p] * heads + h);
      eta += *at(a.eta, j * heads + h);
    }
    const A scale = *at(a.scale, i * heads + h) * *at(a.scale, j * heads + h);
    return *at(a.slope, p * heads + h) * (dot * scale - eta);
  }

  // Through the scores to the sum before the step and to `att`.
  template <bool Product>
  void sum_gradient() {
    for_spans(g.num_dst, a.threads, [&](int64_t span, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto gradient = [&](int64_t p, int64_t c, int64_t h) {
          A* place = at(a.slope, p * heads + h);
          // Further blocks of the head find it there.
          if (c == h * size.channels) *place = score_gradient(i, p, h);
          return *place;
        };
        spread<Product>(i, g.rowptr, g.col, gradient, part(span));
      }
    });
    if (symmetric) return;
    const auto gradient = [&](int64_t t, int64_t, int64_t h) {
      return *at(a.slope, g.position[t] * heads + h);
    };
    for_spans(g.num_src, a.threads, [&](int64_t, int64_t first, int64_t last) {
      for (int64_t j = first; j < last; ++j)
        spread<Product>(j, g.tptr, g.trow, gradient, nullptr);
    });
  }

  // Adds what the edges between node i and its neighbours give to i; `gradient` is that of a score.
  template <bool Product, class Gradient>
  void spread(int64_t i, const int64_t* ptr, const int32_t* neighbor, const Gradient& gradient, A* part_att) {
    for_channels(size, [&](auto lanes, auto packs, int64_t c, int64_t h) {
      constexpr int W = lanes, NV = packs;
      Pack<A, W> zi[NV], exp_i[NV], bent[NV] = {}, straight[NV] = {};
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        zi[v] = decay * load_pack<W>(at(a.z, i * width + c + v * W));
        exp_i[v] = load_pack<W>(at(a.exp_z, i * width + c + v * W));
      }
      A total = 0;
      for (int64_t p = ptr[i]; p < ptr[i + 1]; ++p) {
        prefetch_row(a.z, neighbor, p);
        if (Product) prefetch_row(a.exp_z, neighbor, p);
        const A grad = gradient(p, c, h);
        const int64_t place = neighbor[p] * width + c;
        total += grad;
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          Pack<A, W> exp_t;
          const Pack<A, W> zero = {};
          const Pack<A, W> t = this->template meet<Product, W>(zi[v], exp_i[v], place + v * W, &exp_t);
          bent[v] += grad * elu_slope(t, exp_t);
          straight[v] += grad * where_positive(t, t, zero);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v, c += W) {
        A* grad_z = at(a.grad_z, i * width + c);
        const Pack<A, W> att = load_pack<W>(at(a.att, c));
        store_pack(load_pack<W>(grad_z) + decay * att * bent[v], grad_z);
        if (part_att == nullptr) continue;
        // The ELU is max(t, 0) + slope - 1. A symmetric graph meets each pair from both ends.
        const Pack<A, W> elus = (symmetric ? A(0.5) : A(1)) * (straight[v] + (bent[v] + -total));
        store_pack(load_pack<W>(part_att + c) + elus, part_att + c);
      }
    });
  }

  // Gradients of the parameters from the parts of all spans, in their order.
  void add_parts() {
    A* sums[] = {at(a.grad_att, 0), at(a.grad_hop, 0), at(a.grad_bias, 0)};
    const int64_t sizes[] = {width, 2 * width, heads};
    int64_t first = 0;
    for (int k = 0; k < 3; first += sizes[k++]) {
      std::fill(sums[k], sums[k] + sizes[k], A(0));
      for (int64_t b = 0; b * kBlock < g.num_dst; ++b)
        for (int64_t c = 0; c < sizes[k]; ++c) sums[k][c] += part(b)[first + c];
    }
  }
};

}  // namespace GRAPHATTN_ISA

// ELU of n numbers. torch's own has other bits where a thread's share of them ends.
GRAPHATTN_EXPORT int GRAPHATTN_NAME(elu)(const void* x, void* out, int64_t n, int64_t threads, int dtype) {
  using namespace GRAPHATTN_ISA;
  return for_type(dtype, [&](auto value) {
    using A = decltype(value);
    constexpr int64_t lanes = 16;
    for_each<A>((n + lanes - 1) / lanes, threads, lanes, 1024, [&](int64_t block, A* buffer) {
      const int64_t begin = block * lanes, count = std::min(lanes, n - begin);
      std::fill(buffer, buffer + lanes, A(0));
      std::copy(static_cast<const A*>(x) + begin, static_cast<const A*>(x) + begin + count, buffer);
      const auto some = load_pack<lanes>(buffer);
      store_pack(where_positive(some, some, fast_exp(some) + A(-1)), buffer);
      std::copy(buffer, buffer + count, static_cast<A*>(out) + begin);
    });
  });
}

GRAPHATTN_EXPORT int GRAPHATTN_NAME(aero)(const GraphattnAero* args, int dtype, int backward) {
  using namespace GRAPHATTN_ISA;
  return for_type(dtype, [&](auto value) {
    using A = decltype(value);
    backward ? Backward<A>(*args).run() : Forward<A>(*args).run();
  });
}
