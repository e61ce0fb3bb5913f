#include "base/thread_priority.h"

#include <pthread.h>

#ifdef __APPLE__
#include <sys/qos.h>
#else
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#endif

namespace mlxd {

void lower_thread_priority() {
#ifdef __APPLE__
  // Threads inherit the class of who makes them.
  ::pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0);
#else
  // Linux keeps a nice value for each thread, which new threads inherit (sched(7)); 0 is the calling one. Ten
  // steps are a tenth of the time beside a thread of the usual priority.
  constexpr int kSteps = 10;
  constexpr int kLowest = 19;
  errno = 0;
  const int now = ::getpriority(PRIO_PROCESS, 0);
  if (now == -1 && errno != 0) return;
  ::setpriority(PRIO_PROCESS, 0, std::min(kLowest, now + kSteps));
#endif
}

void name_this_thread(const char* name) {
#ifdef __APPLE__
  ::pthread_setname_np(name);
#else
  ::pthread_setname_np(::pthread_self(), name);
#endif
}

}  // namespace mlxd
