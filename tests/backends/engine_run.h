// An Engine over any backend for tests: each request's tokens collected, every step followed by an integrity
// check. Uses the engine's public interface only. Steps take no time, or as long as a test says.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"

namespace mlxd::testing {

/// A backend whose steps take some time of a fake clock.
class PacedBackend : public Backend {
 public:
  using StepTime = std::function<Duration(const StepBatch&)>;
  PacedBackend(std::unique_ptr<Backend> backend, FakeClock& clock, StepTime step_time)
      : backend_(std::move(backend)), clock_(clock), step_time_(std::move(step_time)) {}

  const BackendInfo& info() const override { return backend_->info(); }
  BackendMemory memory() const override { return backend_->memory(); }
  Result<void> resize_pages(std::size_t group, std::int32_t num_pages) override {
    return backend_->resize_pages(group, num_pages);
  }
  Result<void> copy_pages(std::size_t group, std::span<const PageCopy> copies) override {
    return backend_->copy_pages(group, copies);
  }
  Result<StepHandle> submit(const StepBatch& batch) override {
    clock_.advance(step_time_(batch));
    return backend_->submit(batch);
  }
  Result<void> collect(StepHandle handle, StepResult& result) override {
    return backend_->collect(handle, result);
  }
  void begin_turn() override { backend_->begin_turn(); }
  void end_turn() override { backend_->end_turn(); }

 private:
  std::unique_ptr<Backend> backend_;
  FakeClock& clock_;
  StepTime step_time_;
};

class EngineRun {
 public:
  struct Answer {
    std::vector<TokenId> tokens;
    std::vector<float> logprobs;  // one for each token that has one
    PromptScores scores;
    std::optional<FinishReason> finish;
    std::optional<Error> error;
    bool ended() const { return finish || error; }
  };

  /// `step_time`: told of each step before it is computed; may be empty.
  EngineRun(std::unique_ptr<Backend> backend, const EngineOptions& options,
            PacedBackend::StepTime step_time = {}) {
    if (step_time)
      backend = std::make_unique<PacedBackend>(std::move(backend), *clock_, std::move(step_time));
    auto created = Engine::create(std::move(backend), options, *clock_);
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
      if (event.event.logprob) answer.logprobs.push_back(*event.event.logprob);
      if (event.event.prompt_scores) answer.scores = *event.event.prompt_scores;
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

  std::unique_ptr<FakeClock> clock_ = std::make_unique<FakeClock>();  // stays where it is if this moves
  std::unique_ptr<Engine> engine_;
  std::map<SequenceId, Answer> answers_;
  std::map<SequenceId, bool> cancelled_;
};

}  // namespace mlxd::testing
