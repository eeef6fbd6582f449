// Advice to the operating system about memory.

#include "common.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

// Asks for huge pages for fresh memory that is about to be filled: mapping it in small pages costs
// as much time as a kernel that fills it.
GRAPHATTN_EXPORT void graphattn_use_huge_pages(void* start, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(start) + page - 1) / page * page;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(start) + bytes) / page * page;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)start, (void)bytes;
#endif
}
