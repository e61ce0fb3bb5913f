#include "runtime/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "engine/testing/engine_harness.h"
#include "engine/testing/fake_backend.h"

namespace mlxd {
namespace {

using testing::answer_alone;
using testing::FakeBackend;
using testing::make_prompt;
using testing::make_request;

constexpr std::chrono::milliseconds kLong{60000};  // reached only by a failure

// A door that steps go through: closed, the engine stands inside its step.
class Gate {
 public:
  void open() {
    {
      const MutexLock lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  void close() {
    const MutexLock lock(mutex_);
    open_ = false;
  }
  void pass() {
    {
      const MutexLock lock(mutex_);
      ++arrivals_;
    }
    changed_.notify_all();
    const MutexLock lock(mutex_);
    while (!open_) changed_.wait(mutex_);
  }
  void wait_for_arrivals(int count) {
    const MutexLock lock(mutex_);
    while (arrivals_ < count) changed_.wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ = true;
  int arrivals_ = 0;
};

std::unique_ptr<EngineThread> start(EngineOptions options, FakeBackend::Options backend = {}) {
  auto engine = EngineThread::start(
      [backend]() -> Result<std::unique_ptr<Backend>> {
        return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(backend));
      },
      std::move(options));
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return engine.take_value();
}

struct Answer {
  std::vector<TokenId> tokens;
  std::optional<FinishReason> finish;
  std::optional<Error> error;
};

void add_events(std::vector<TokenEvent>& events, Answer& answer) {
  for (const TokenEvent& event : events) {
    EXPECT_FALSE(answer.finish || answer.error) << "an event after the last";
    if (event.token != kNoToken) answer.tokens.push_back(event.token);
    answer.finish = event.finish;
    answer.error = event.error;
  }
  events.clear();
}

Answer take_all(GenerationStream& stream) {
  Answer answer;
  std::vector<TokenEvent> events;
  bool more = true;
  while (more) {
    EXPECT_TRUE(stream.wait(kLong)) << "no event for a minute";
    more = stream.take_events(events);
    add_events(events, answer);
  }
  return answer;
}

TEST(EngineThread, answers_requests_of_many_threads_as_if_each_were_alone) {
  auto engine = start({.num_pages = 30, .max_running = 8, .step_token_budget = 64});
  std::vector<std::thread> clients;
  for (std::int32_t client = 0; client < 6; ++client) {
    clients.emplace_back([&engine, client] {
      for (std::int32_t i = 0; i < 10; ++i) {
        const std::int32_t salt = client * 100 + i;
        const auto request = [&] {
          return make_request(make_prompt(1 + salt % 70, salt), 1 + salt % 40,
                              {.temperature = 1.0F, .seed = static_cast<std::uint64_t>(salt)});
        };
        auto stream = engine->submit(request(), nullptr);
        ASSERT_TRUE(stream.ok()) << stream.error().message;
        const Answer answer = take_all(*stream);
        EXPECT_EQ(answer.tokens, answer_alone(request()));
        EXPECT_TRUE(answer.finish);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests_finished, 60U);
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_EQ(stats.running + stats.waiting, 0);
}

TEST(EngineThread, a_stream_of_nothing_has_nothing) {
  GenerationStream stream;
  std::vector<TokenEvent> events;
  EXPECT_FALSE(stream.take_events(events));
  EXPECT_FALSE(stream.wait(kLong));
  EXPECT_EQ(stream.id(), 0U);
}

TEST(EngineThread, dropping_a_stream_frees_its_pages_within_a_step) {
  Gate gate;
  FakeBackend::Options backend;
  backend.on_submit = [&gate](const StepBatch&) {
    gate.pass();
    return Result<void>();
  };
  auto engine = start({.num_pages = 100}, backend);
  gate.close();
  auto dropped = engine->submit(make_request(make_prompt(100, 1), 1000), nullptr);
  gate.wait_for_arrivals(1);
  auto kept = engine->submit(make_request(make_prompt(10, 2), 3), nullptr);
  *dropped = GenerationStream();  // in the middle of a step
  gate.open();
  EXPECT_EQ(take_all(*kept).tokens.size(), 3U);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests_cancelled, 1U);
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_EQ(stats.steps, 4U);  // one of the dropped request, three of the other, none of both
  EXPECT_EQ(stats.max_batch_sequences, 1);
}

class CountingWaker : public StreamWaker {
 public:
  void wake(std::span<const std::uint64_t> stream_ids) override {
    const MutexLock lock(mutex_);
    ++wakes_;
    most_at_once_ = std::max(most_at_once_, stream_ids.size());
    for (const std::uint64_t id : stream_ids) ++news_[id];
    changed_.notify_all();
  }
  void wait_for_news(std::uint64_t id, int count) {
    const MutexLock lock(mutex_);
    while (news_[id] < count) changed_.wait(mutex_);
  }
  int wakes() {
    const MutexLock lock(mutex_);
    return wakes_;
  }
  std::size_t most_at_once() {
    const MutexLock lock(mutex_);
    return most_at_once_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int wakes_ = 0;
  std::size_t most_at_once_ = 0;
  std::unordered_map<std::uint64_t, int> news_;
};

TEST(EngineThread, wakes_each_waker_once_a_step) {
  Gate gate;
  FakeBackend::Options backend;
  backend.on_submit = [&gate](const StepBatch&) {
    gate.pass();
    return Result<void>();
  };
  CountingWaker first;
  CountingWaker second;
  auto engine = start({.num_pages = 100}, backend);
  gate.close();
  std::vector<GenerationStream> streams;
  for (std::int32_t i = 0; i < 6; ++i) {
    auto stream = engine->submit(make_request(make_prompt(5, i), 10), i < 4 ? &first : &second);
    streams.push_back(stream.take_value());
    if (i == 0) gate.wait_for_arrivals(1);  // the rest joins in the second step
  }
  gate.open();
  for (const GenerationStream& stream : streams)
    (&stream - streams.data() < 4 ? first : second).wait_for_news(stream.id(), 10);
  EXPECT_EQ(first.wakes(), 11);
  EXPECT_EQ(second.wakes(), 10);
  EXPECT_EQ(first.most_at_once(), 4U);
  EXPECT_EQ(second.most_at_once(), 2U);
  std::vector<TokenEvent> events;
  EXPECT_FALSE(streams[5].take_events(events));
  EXPECT_EQ(events.size(), 10U);
}

TEST(EngineThread, a_waker_need_only_outlive_its_streams) {
  auto engine = start({.num_pages = 200});
  for (std::int32_t i = 0; i < 300; ++i) {
    auto waker = std::make_unique<CountingWaker>();
    auto stream = engine->submit(make_request(make_prompt(3, i), 500), waker.get());
    ASSERT_TRUE(stream.ok());
    if (i % 3 == 0) waker->wait_for_news(stream->id(), 1 + i % 5);
    *stream = GenerationStream();
    waker.reset();
  }
}

// A waker may drop streams itself: it runs on the engine's thread and is not waited for there.
TEST(EngineThread, a_stream_can_be_dropped_from_within_a_wake_up) {
  class Dropper : public StreamWaker {
   public:
    void wake(std::span<const std::uint64_t>) override {
      const MutexLock lock(mutex_);
      stream = GenerationStream();
      dropped_ = true;
      changed_.notify_all();
    }
    void wait() {
      const MutexLock lock(mutex_);
      while (!dropped_) changed_.wait(mutex_);
    }
    GenerationStream stream;
    Mutex mutex_;

   private:
    CondVar changed_;
    bool dropped_ = false;
  };
  Dropper dropper;
  auto engine = start({.num_pages = 50});
  {
    const MutexLock lock(dropper.mutex_);
    dropper.stream = engine->submit(make_request(make_prompt(3, 1), 500), &dropper).take_value();
  }
  dropper.wait();
}

TEST(EngineThread, refuses_at_once_what_cannot_fit_or_wait) {
  Gate gate;
  FakeBackend::Options backend;
  backend.on_submit = [&gate](const StepBatch&) {
    gate.pass();
    return Result<void>();
  };
  auto engine = start({.num_pages = 4, .max_running = 1, .max_waiting = 2}, backend);
  const auto too_large = engine->submit(make_request(make_prompt(100, 1), 100), nullptr);
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().kind, ErrorKind::kTooLarge);
  gate.close();
  std::vector<GenerationStream> streams;
  streams.push_back(engine->submit(make_request(make_prompt(3, 1), 3), nullptr).take_value());
  gate.wait_for_arrivals(1);
  // The first one's place in the line shows as free only after its step.
  for (int i = 0; i < 10 && streams.size() < 3; ++i) {
    auto stream = engine->submit(make_request(make_prompt(3, 1), 3), nullptr);
    if (!stream.ok()) break;
    streams.push_back(stream.take_value());
  }
  const auto overloaded = engine->submit(make_request(make_prompt(3, 1), 3), nullptr);
  ASSERT_FALSE(overloaded.ok());
  EXPECT_EQ(overloaded.error().kind, ErrorKind::kOverloaded);
  EXPECT_NE(overloaded.error().message.find("2 may"), std::string::npos) << overloaded.error().message;
  gate.open();
  for (GenerationStream& stream : streams) EXPECT_EQ(take_all(stream).tokens.size(), 3U);
  EXPECT_TRUE(engine->submit(make_request(make_prompt(3, 1), 3), nullptr).ok());
}

TEST(EngineThread, a_failed_step_ends_its_requests_and_later_ones_are_served) {
  auto failures = std::make_shared<std::atomic<int>>(1);
  FakeBackend::Options backend;
  backend.on_collect = [failures]() -> Result<void> {
    if (failures->fetch_sub(1) > 0) return Error(ErrorKind::kInternal, "a kernel failed");
    return {};
  };
  auto engine = start({.num_pages = 10}, backend);
  auto failed = engine->submit(make_request({1, 2}, 5), nullptr);
  const Answer answer = take_all(*failed);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->message, "a kernel failed");
  auto served = engine->submit(make_request({1, 2}, 5), nullptr);
  EXPECT_EQ(take_all(*served).tokens.size(), 5U);
  EXPECT_EQ(engine->stats().requests_failed, 1U);
}

TEST(EngineThread, a_lost_device_refuses_further_requests) {
  FakeBackend::Options backend;
  backend.on_submit = [](const StepBatch&) -> Result<void> {
    return Error(ErrorKind::kUnavailable, "the device is gone");
  };
  auto engine = start({.num_pages = 10}, backend);
  auto stream = engine->submit(make_request({1, 2}, 5), nullptr);
  EXPECT_EQ(take_all(*stream).error->kind, ErrorKind::kUnavailable);
  const auto refused = engine->submit(make_request({1, 2}, 5), nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "the device is gone");
}

TEST(EngineThread, a_failed_load_is_the_answer_of_start) {
  const auto engine = EngineThread::start(
      []() -> Result<std::unique_ptr<Backend>> { return corrupt_data("scales hold a NaN"); },
      {.num_pages = 10});
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().message, "scales hold a NaN");
}

TEST(EngineThread, loads_and_steps_on_one_thread) {
  auto loader = std::make_shared<std::thread::id>();
  auto stepper = std::make_shared<std::thread::id>();
  auto engine = EngineThread::start(
      [=]() -> Result<std::unique_ptr<Backend>> {
        *loader = std::this_thread::get_id();
        FakeBackend::Options backend;
        backend.on_submit = [=](const StepBatch&) {
          *stepper = std::this_thread::get_id();
          return Result<void>();
        };
        return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(backend));
      },
      {.num_pages = 10});
  auto stream = (*engine)->submit(make_request({1}, 1), nullptr);
  take_all(*stream);
  engine->reset();
  EXPECT_EQ(*loader, *stepper);
  EXPECT_NE(*loader, std::this_thread::get_id());
}

TEST(EngineThread, its_end_ends_all_streams_which_may_outlive_it) {
  Gate gate;
  FakeBackend::Options backend;
  backend.on_submit = [&gate](const StepBatch&) {
    gate.pass();
    return Result<void>();
  };
  CountingWaker waker;
  auto engine = start({.num_pages = 100, .max_running = 2}, backend);
  gate.close();
  std::vector<GenerationStream> streams;
  for (std::int32_t i = 0; i < 5; ++i)
    streams.push_back(engine->submit(make_request(make_prompt(5, i), 2000), &waker).take_value());
  gate.wait_for_arrivals(1);
  std::thread ender([&engine] { engine.reset(); });
  gate.open();
  ender.join();
  for (GenerationStream& stream : streams) {
    const Answer answer = take_all(stream);
    ASSERT_TRUE(answer.error);
    EXPECT_EQ(answer.error->kind, ErrorKind::kCancelled);
    waker.wait_for_news(stream.id(), 1);
  }
}

TEST(EngineThread, streams_come_and_go_at_random) {
  auto engine = start({.num_pages = 20, .max_running = 6, .step_token_budget = 40});
  CountingWaker waker;
  std::vector<std::thread> clients;
  for (std::uint32_t client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937 random(client);
      for (int i = 0; i < 40; ++i) {
        const auto salt = static_cast<std::int32_t>(random() % 1000);
        auto stream = engine->submit(make_request(make_prompt(1 + salt % 60, salt), 1 + salt % 50),
                                     random() % 2 == 0 ? &waker : nullptr);
        ASSERT_TRUE(stream.ok());
        std::vector<TokenEvent> events;
        std::size_t patience = random() % 30;
        std::size_t seen = 0;
        while (seen < patience && stream->wait(kLong)) {
          const bool more = stream->take_events(events);
          seen += events.size();
          events.clear();
          if (!more) break;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  auto last = engine->submit(make_request({1}, 2), nullptr);
  take_all(*last);
  EXPECT_EQ(engine->stats().pages_used, 0);
  EXPECT_EQ(engine->stats().requests_cancelled + engine->stats().requests_finished, 161U);
}

TEST(EngineThread, changes_its_memory_while_requests_run) {
  auto engine = start({.num_pages = 40, .max_running = 8});
  std::vector<GenerationStream> streams;
  const auto request = [](std::int32_t salt) {
    return make_request(make_prompt(50, salt), 100, {.temperature = 1.0F, .seed = 3});
  };
  for (std::int32_t salt = 0; salt < 6; ++salt)
    streams.push_back(engine->submit(request(salt), nullptr).take_value());
  for (const std::int32_t num_pages : {7, 30, 5, 60}) {
    ASSERT_TRUE(engine->resize(num_pages).ok());
    EXPECT_EQ(engine->stats().capacity_pages, num_pages);
    EXPECT_EQ(engine->stats().pages_total, num_pages);
  }
  EXPECT_EQ(engine->resize(0).error().kind, ErrorKind::kInvalidArgument);
  for (std::int32_t salt = 0; salt < 6; ++salt)
    EXPECT_EQ(take_all(streams[static_cast<std::size_t>(salt)]).tokens, answer_alone(request(salt)));
  // What fits is judged by the memory of now.
  ASSERT_TRUE(engine->resize(3).ok());
  EXPECT_EQ(engine->submit(request(1), nullptr).error().kind, ErrorKind::kTooLarge);
}

TEST(EngineThread, tells_those_who_wait_where_they_stand) {
  Gate gate;
  std::atomic<GenerationStream*> watched{nullptr};
  std::vector<std::int32_t> positions;  // of the watched stream, on the engine's thread
  FakeBackend::Options backend;
  backend.on_submit = [&](const StepBatch&) -> Result<void> {
    gate.pass();
    if (GenerationStream* const stream = watched.load()) {
      if (const auto place = stream->queue_place()) positions.push_back(place->position);
    }
    return {};
  };
  auto engine = start({.num_pages = 40, .max_running = 1}, backend);
  gate.close();
  auto running = engine->submit(make_request({1}, 400), nullptr).take_value();
  auto next = engine->submit(make_request({2}, 5), nullptr).take_value();
  auto after = engine->submit(make_request({3}, 5), nullptr).take_value();
  watched = &after;
  gate.open();
  for (GenerationStream* const stream : {&running, &next, &after}) {
    take_all(*stream);
    EXPECT_FALSE(stream->queue_place());
  }
  engine.reset();
  ASSERT_FALSE(positions.empty());
  EXPECT_EQ(positions.front(), 1);
  EXPECT_EQ(positions.back(), 0);
}

TEST(EngineThread, ends_all_requests_with_a_reason_and_takes_new_ones) {
  Gate gate;
  gate.close();
  FakeBackend::Options backend;
  backend.on_submit = [&gate](const StepBatch&) -> Result<void> {
    gate.pass();
    return {};
  };
  auto engine = start({.num_pages = 64, .max_running = 1}, backend);
  std::vector<GenerationStream> streams;
  for (std::int32_t i = 0; i < 3; ++i)  // one runs, two wait
    streams.push_back(engine->submit(make_request(make_prompt(5, i), 20), nullptr).take_value());
  gate.wait_for_arrivals(1);
  engine->end_requests({ErrorKind::kUnavailable, "the model goes"});
  gate.open();
  for (GenerationStream& stream : streams) {
    std::optional<Error> error;
    std::vector<TokenEvent> events;
    while (stream.wait(kLong) && stream.take_events(events)) {
    }
    for (const TokenEvent& event : events) {
      if (event.error) error = event.error;
    }
    ASSERT_TRUE(error);
    EXPECT_EQ(error->message, "the model goes");
  }
  auto next = engine->submit(make_request(make_prompt(5, 9), 3), nullptr).take_value();
  std::vector<TokenEvent> events;
  while (next.wait(kLong) && next.take_events(events)) {
  }
  EXPECT_EQ(events.size(), 3U);
  EXPECT_EQ(events.back().finish, FinishReason::kLength);
}

}  // namespace
}  // namespace mlxd
