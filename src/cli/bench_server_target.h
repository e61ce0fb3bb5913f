// An OpenAI-compatible server as a benchmark's target: streamed /v1/completions, and /v1/chat/completions for
// conversations. Thread-safe; one connection a request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "workbench/bench_target.h"

namespace mlxd::cli {

class BenchServerTarget : public BenchTarget {
 public:
  struct Options {
    std::string url;
    std::string model;  // empty: the only one of /v1/models
    double temperature = 0.0;
    std::vector<std::int32_t> banned_tokens;  // never made: end tokens, so that answers have full length
  };
  /// Asks the server for its models. Errors: kInvalidArgument (no URL), kUnavailable (cannot be reached),
  /// kNotFound and kConflict (which model?), kCorruptData (no such server).
  static Result<std::unique_ptr<BenchServerTarget>> connect(Options options);

  std::unique_ptr<BenchConversation> begin(bool is_chat) override;
  const std::string& url() const { return options_.url; }
  const std::string& model() const { return options_.model; }

 private:
  explicit BenchServerTarget(Options options) : options_(std::move(options)) {}

  const Options options_;
};

/// What one request's stream of events says. One owner. For BenchServerTarget and its tests.
class BenchStreamReader {
 public:
  explicit BenchStreamReader(BenchAnswer& answer) : answer_(answer) {}
  /// One event's data, which came at `now`; false if nothing more is to be read.
  bool read(std::string_view data, TimePoint now);
  /// After the last event: what is missing becomes a failure.
  void finish();
  const std::string& text() const { return text_; }

 private:
  BenchAnswer& answer_;
  std::string text_;
  bool is_done_ = false;  // [DONE] has come
};

/// "status 503: the queue is full", from a body as OpenAI's servers and others write it.
std::string describe_refusal(int status, std::string_view body);

}  // namespace mlxd::cli
