#include "server/text_workers.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"

namespace mlxd {

TextWorkers::TextWorkers(std::size_t num_threads, std::size_t max_queued)
    : max_queued_(max_queued), max_heavy_(std::max<std::size_t>(2, num_threads) - 1) {
  for (std::size_t i = 0; i < num_threads; ++i) threads_.emplace_back([this] { work(); });
}

TextWorkers::~TextWorkers() { stop(); }

bool TextWorkers::try_post(std::function<void()>&& job, Weight weight) {
  {
    const MutexLock lock(mutex_);
    if (stopping_ || jobs_.size() >= max_queued_) return false;
    jobs_.push_back({std::move(job), weight});
  }
  wake_.notify_one();
  return true;
}

void TextWorkers::stop() {
  std::deque<Job> dropped;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    std::swap(dropped, jobs_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool TextWorkers::take(Job& job) {
  const MutexLock lock(mutex_);
  for (;;) {
    auto next = jobs_.begin();
    if (running_heavy_ >= max_heavy_) {
      while (next != jobs_.end() && next->weight == Weight::kHeavy) ++next;
    }
    if (next != jobs_.end()) {
      job = std::move(*next);
      jobs_.erase(next);
      if (job.weight == Weight::kHeavy) ++running_heavy_;
      return true;
    }
    if (stopping_) return false;
    wake_.wait(mutex_);
  }
}

void TextWorkers::work() {
  for (;;) {
    Job job;
    if (!take(job)) return;
    try {
      job.function();
    } catch (const std::exception& failure) {
      // Memory running out, most likely; the job's exchange answers with an internal error when it is let go.
      log::error("a text job failed: {}", failure.what());
    }
    if (job.weight != Weight::kHeavy) continue;
    {
      const MutexLock lock(mutex_);
      --running_heavy_;
    }
    wake_.notify_one();
  }
}

}  // namespace mlxd
