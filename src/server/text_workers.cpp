#include "server/text_workers.h"

#include <exception>
#include <utility>

#include "base/log.h"

namespace mlxd {

TextWorkers::TextWorkers(std::size_t num_threads, std::size_t max_queued) : max_queued_(max_queued) {
  for (std::size_t i = 0; i < num_threads; ++i) threads_.emplace_back([this] { work(); });
}

TextWorkers::~TextWorkers() { stop(); }

bool TextWorkers::try_post(std::function<void()>&& job) {
  {
    const MutexLock lock(mutex_);
    if (stopping_ || jobs_.size() >= max_queued_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void TextWorkers::stop() {
  std::deque<std::function<void()>> dropped;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    std::swap(dropped, jobs_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void TextWorkers::work() {
  for (;;) {
    std::function<void()> job;
    {
      const MutexLock lock(mutex_);
      while (jobs_.empty() && !stopping_) wake_.wait(mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    try {
      job();
    } catch (const std::exception& failure) {
      // Memory running out, most likely; the job's exchange answers with an internal error when it is let go.
      log::error("a text job failed: {}", failure.what());
    }
  }
}

}  // namespace mlxd
