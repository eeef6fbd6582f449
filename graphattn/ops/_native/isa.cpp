// Which instruction set the kernels may use on this machine.

#include "common.hpp"

// 0 portable, 1 AVX2 with FMA and F16C, 2 AVX-512 (F, BW, DQ, VL).
GRAPHATTN_EXPORT int graphattn_isa() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}
