#include "base/thread_priority.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>

namespace mlxd {
namespace {

#ifdef __linux__
TEST(ThreadPriority, is_lowered_for_the_thread_and_those_that_it_starts_alone) {
  const auto priority = [] { return ::getpriority(PRIO_PROCESS, 0); };
  const int before = priority();
  int own = before, of_child = before;
  std::thread([&] {
    lower_thread_priority();
    own = priority();
    std::thread([&] { of_child = priority(); }).join();
  }).join();
  EXPECT_EQ(own, std::min(19, before + 10));
  EXPECT_EQ(of_child, own);
  EXPECT_EQ(priority(), before);
}

TEST(ThreadPriority, a_thread_has_the_name_it_was_given) {
  char name[16] = {};
  std::thread([&] {
    name_this_thread("mlxd-compute");
    ::pthread_getname_np(::pthread_self(), name, sizeof(name));
  }).join();
  EXPECT_STREQ(name, "mlxd-compute");
}
#endif

}  // namespace
}  // namespace mlxd
