// An Engine over any backend for tests: each request's tokens collected, every step followed by an integrity
// check. Uses the engine's public interface only.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"

namespace mlxd::testing {

class EngineRun {
 public:
  struct Answer {
    std::vector<TokenId> tokens;
    std::optional<FinishReason> finish;
    std::optional<Error> error;
    bool ended() const { return finish || error; }
  };

  EngineRun(std::unique_ptr<Backend> backend, const EngineOptions& options) {
    auto created = Engine::create(std::move(backend), options, clock_);
    EXPECT_TRUE(created.ok()) << created.error().message;
    engine_ = created.take_value();
  }

  Engine& engine() { return *engine_; }
  const Answer& answer(SequenceId id) { return answers_[id]; }

  void submit(SequenceId id, GenerationRequest request) {
    const auto result = engine_->submit(id, std::move(request));
    ASSERT_TRUE(result.ok()) << result.error().message;
    answers_[id];
  }

  /// No event may come any more.
  void cancel(SequenceId id) {
    engine_->cancel(id);
    cancelled_[id] = true;
    check_integrity();
  }

  void step() {
    for (SequenceEvent& event : engine_->step()) {
      Answer& answer = answers_.at(event.id);
      ASSERT_FALSE(answer.ended()) << "an event after the last one";
      ASSERT_FALSE(cancelled_[event.id]) << "an event after cancelling";
      if (event.event.token != kNoToken) answer.tokens.push_back(event.event.token);
      answer.finish = event.event.finish;
      answer.error = event.event.error;
      ASSERT_FALSE(answer.error) << answer.error->message;
    }
    check_integrity();
  }

  void run() {
    for (int steps = 0; !engine_->idle(); ++steps) {
      ASSERT_NO_FATAL_FAILURE(step());
      ASSERT_LT(steps, 100000) << "the engine does not come to an end";
    }
  }

 private:
  void check_integrity() {
    const auto intact = engine_->check_integrity();
    ASSERT_TRUE(intact.ok()) << intact.error().message;
  }

  FakeClock clock_;
  std::unique_ptr<Engine> engine_;
  std::map<SequenceId, Answer> answers_;
  std::map<SequenceId, bool> cancelled_;
};

}  // namespace mlxd::testing
