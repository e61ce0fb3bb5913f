#include "runtime/engine_inbox.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/engine_thread.h"

namespace mlxd {

Result<void> EngineInbox::submit(Submission submission) {
  bool notify = false;
  {
    const MutexLock lock(mutex_);
    if (closed_) return *closed_;
    const std::int32_t waiting =
        stats_.waiting + accepted_ + static_cast<std::int32_t>(mail_.submissions.size());
    if (waiting >= max_waiting_)
      return Error(ErrorKind::kOverloaded, std::to_string(waiting) +
                                               " requests are waiting for the model already, " +
                                               std::to_string(max_waiting_) + " may: try again later");
    mail_.submissions.push_back(std::move(submission));
    notify = parked_;
  }
  if (notify) mail_came_.notify_one();
  return {};
}

void EngineInbox::abandon(StreamState& stream) {
  const bool cancels = !stream.ended();
  bool notify = false;
  {
    const MutexLock lock(mutex_);
    stream.abandoned_ = true;
    if (cancels && !mail_.stop) {
      mail_.cancellations.push_back(stream.id());
      notify = parked_;
    }
    while (waking_ != nullptr && waking_ == stream.waker() && engine_thread_ != std::this_thread::get_id())
      wake_ended_.wait(mutex_);
  }
  if (notify) mail_came_.notify_one();
}

Result<void> EngineInbox::order(std::function<Result<void>(Engine&)> carry_out) {
  std::future<Result<void>> done;
  bool notify = false;
  {
    const MutexLock lock(mutex_);
    if (closed_) return *closed_;
    Order& order = mail_.orders.emplace_back();
    order.carry_out = std::move(carry_out);
    done = order.done.get_future();
    notify = parked_;
  }
  if (notify) mail_came_.notify_one();
  return done.get();
}

BackendMemory EngineInbox::memory() const {
  const MutexLock lock(mutex_);
  return memory_;
}

void EngineInbox::publish_memory(const BackendMemory& memory) {
  const MutexLock lock(mutex_);
  memory_ = memory;
}

void EngineInbox::close(Error reason) {
  const MutexLock lock(mutex_);
  if (!closed_) closed_ = std::move(reason);
}

void EngineInbox::end_requests(Error reason) {
  {
    const MutexLock lock(mutex_);
    mail_.ending = std::move(reason);
  }
  mail_came_.notify_one();
}

void EngineInbox::stop() {
  {
    const MutexLock lock(mutex_);
    mail_.stop = true;
  }
  mail_came_.notify_one();
}

EngineStats EngineInbox::stats() const {
  const MutexLock lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += accepted_ + static_cast<std::int32_t>(mail_.submissions.size());
  return stats;
}

void EngineInbox::take(Mail& mail, bool wait) {
  mail.submissions.clear();
  mail.cancellations.clear();
  mail.orders.clear();
  mail.ending.reset();
  const MutexLock lock(mutex_);
  if (wait) {
    parked_ = true;
    while (mail_.submissions.empty() && mail_.cancellations.empty() && mail_.orders.empty() &&
           !mail_.ending && !mail_.stop)
      mail_came_.wait(mutex_);
    parked_ = false;
  }
  std::swap(mail.submissions, mail_.submissions);
  std::swap(mail.cancellations, mail_.cancellations);
  std::swap(mail.orders, mail_.orders);
  std::swap(mail.ending, mail_.ending);
  mail.stop = mail_.stop;
  accepted_ += static_cast<std::int32_t>(mail.submissions.size());
}

void EngineInbox::publish(const EngineStats& stats) {
  const MutexLock lock(mutex_);
  stats_ = stats;
  accepted_ = 0;
}

void EngineInbox::wake(std::span<const std::shared_ptr<StreamState>> news) {
  told_.clear();
  for (std::size_t first = 0; first < news.size(); ++first) {
    StreamWaker* const waker = news[first]->waker();
    if (waker == nullptr || std::find(told_.begin(), told_.end(), waker) != told_.end()) continue;
    told_.push_back(waker);
    woken_ids_.clear();
    {
      // An abandoned stream's waker may be gone. From here on abandon() waits until this one has been told.
      const MutexLock lock(mutex_);
      for (const auto& stream : news.subspan(first)) {
        if (stream->waker() == waker && !stream->abandoned_) woken_ids_.push_back(stream->id());
      }
      if (woken_ids_.empty()) continue;
      waking_ = waker;
      engine_thread_ = std::this_thread::get_id();
    }
    waker->wake(woken_ids_);
    {
      const MutexLock lock(mutex_);
      waking_ = nullptr;
    }
    wake_ended_.notify_all();
  }
}

}  // namespace mlxd
