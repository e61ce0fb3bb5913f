// One generation request from decoded call to last byte: its streams, text pipelines, encoder and exchange.
//
// Thread rule: `submit` on a text worker; all else on the exchange's I/O thread. It keeps itself alive
// through the dispatcher while streams run; when the client goes away it lets the streams go, which cancels
// them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/answer_encoder.h"
#include "api/generation_call.h"
#include "base/clock.h"
#include "http/exchange.h"
#include "runtime/text_stream.h"
#include "server/metrics.h"
#include "server/prompt_echo.h"
#include "server/served_model.h"
#include "server/stream_dispatcher.h"

namespace mlxd {

class GenerationRun : public StreamListener, public std::enable_shared_from_this<GenerationRun> {
 public:
  struct Options {
    http::ExchangePtr exchange;
    ServedModelPtr model;
    AdapterLeasePtr adapter = nullptr;
    std::unique_ptr<api::AnswerEncoder> encoder;
    StreamDispatcher* dispatcher = nullptr;  // of the model's engine and the exchange's I/O thread
    Metrics* metrics = nullptr;
    TimePoint arrived;
    Priority priority = Priority::kNormal;
    ClientId client = 0;
    std::optional<TimePoint> deadline = {};
    bool explain_cache = false;
    /// Called once, when the request ends in whatever way, with what it used until then; may be empty.
    std::function<void(const Usage&)> on_used = {};
  };
  explicit GenerationRun(Options options);
  ~GenerationRun() override;

  /// Renders, tokenizes, checks and submits every choice. Errors leave nothing running.
  Result<void> submit(const api::GenerationCall& call);

  /// Starts answering.
  void begin();

  void on_events() override;

 private:
  /// A choice being generated.
  struct Branch {
    GenerationStream stream;
    std::unique_ptr<TextStream> text;
    api::Choice choice;
    std::shared_ptr<const CacheReport> cache;  // with the first token
    TimePoint first_token, last_token;
    bool has_stream = false;  // else it is all echo
    bool begun = false;       // a token has come
    bool delivered = false;   // something of it has been sent or kept
    bool finished = false;
  };

  /// What a branch begins with; null: nothing.
  PromptEcho* echo_of(std::int32_t index);
  std::unique_ptr<TextStream> make_text_stream(const api::GenerationCall& call) const;
  Result<std::vector<TokenId>> tokenize_prediction(const std::string& text) const;
  /// Takes a branch's events; appends to `out` when streaming. False: the request has failed.
  bool advance(Branch& branch, std::int32_t index, std::string& out);
  void deliver(Branch& branch, std::int32_t index, TextEvent event, std::string& out);
  void measure(Branch& branch, std::size_t num_tokens);
  void complete(std::string& out);
  void add_headers(http::Response& response) const;
  void fail(const Error& error, std::string& out);
  void finish();
  Usage usage() const;
  /// As usage, tokens only.
  Usage usage_counts() const;
  void tell_usage();
  void add_times(Usage& usage) const;
  Result<GenerationRequest> make_request(const api::GenerationCall& call, const std::vector<TokenId>& prompt,
                                         std::int32_t choice) const;
  Result<std::optional<GrammarMatcher>> compile_grammar(const api::GenerationCall& call) const;
  /// Null if the answer may be anything. Errors name the field.
  Result<std::shared_ptr<TokenConstraint>> make_constraint(const api::GenerationCall& call) const;
  CacheExplanation explain(const CacheReport& report, const std::vector<TokenId>& prompt) const;
  /// What a silent stream sends: a comment, with the place in the queue while it waits.
  std::string keep_alive() const;

  Options options_;
  ModelMetrics model_metrics_;
  std::vector<Branch> branches_;
  std::vector<PromptEcho> echoes_;  // of each prompt, if answers begin with them
  std::vector<TokenEvent> events_;
  TimePoint submitted_;
  bool streaming_ = false;
  bool done_ = false;
  std::string ignored_;              // what the request has that was let be
  std::vector<TokenId> end_tokens_;  // the model's, and those of the prompts
  std::size_t num_dropped_messages_ = 0;
  std::int32_t prompt_tokens_ = 0;
  std::int32_t num_choices_ = 1;            // of each prompt
  std::optional<ChatFormat::Prompt> chat_;  // of a chat: how its answers are written
  std::optional<std::vector<TokenId>> prediction_;
  std::vector<std::vector<TokenId>> explained_prompts_;  // kept only to explain the cache
};

}  // namespace mlxd
