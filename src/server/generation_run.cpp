#include "server/generation_run.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "api/error_status.h"
#include "base/log.h"
#include "http/sse.h"

namespace mlxd {
namespace {

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Each choice draws its own numbers, the first those of a request for one (a step of SplitMix64, Steele et
// al., "Fast splittable pseudorandom number generators", 2014).
std::uint64_t choice_seed(std::uint64_t seed, std::int32_t choice) {
  if (choice == 0) return seed;
  std::uint64_t z = seed + static_cast<std::uint64_t>(choice) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

}  // namespace

GenerationRun::GenerationRun(Options options)
    : options_(std::move(options)), model_metrics_(options_.metrics->for_model(options_.model->name)) {}

GenerationRun::~GenerationRun() = default;

Result<std::vector<TokenId>> GenerationRun::tokenize(const api::GenerationCall& call,
                                                     const api::RawPrompt& prompt) const {
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) return *tokens;
  const std::string& text = std::get<std::string>(prompt);
  // A token stands for some bytes: a text so long cannot fit, and need not be tokenized to know it.
  constexpr std::size_t kMostBytesPerToken = 512;
  const auto context = static_cast<std::size_t>(options_.model->limits.context_tokens);
  if (text.size() / kMostBytesPerToken > context)
    return Error(ErrorKind::kTooLarge,
                 "the prompt has " + std::to_string(text.size()) + " bytes, the model's context holds " +
                     std::to_string(context) + " tokens: shorten the prompt",
                 call.prompt_field);
  auto tokens = options_.model->tokenizer->encode(text, true);
  if (!tokens.ok()) return Error(tokens.error().kind, tokens.error().message, call.prompt_field);
  return tokens;
}

Result<std::vector<std::vector<TokenId>>> GenerationRun::tokenize_all(const api::GenerationCall& call) const {
  std::vector<std::vector<TokenId>> prompts;
  if (!call.conversation) {
    for (const api::RawPrompt& prompt : call.prompts) prompts.push_back(TRY(tokenize(call, prompt)));
    return prompts;
  }
  const ServedModel& model = *options_.model;
  if (model.chat_template == nullptr)
    return Error(ErrorKind::kInvalidArgument,
                 "model '" + model.name + "' has no chat template: use /v1/completions", "model");
  ChatTemplate::Options options;
  options.extra_json = call.conversation->template_variables_json;
  auto text = model.chat_template->render_json(call.conversation->messages_json, options);
  if (!text.ok()) return Error(text.error().kind, text.error().message, call.prompt_field);
  // The template has written the special tokens itself.
  auto tokens = model.tokenizer->encode(*text, false);
  if (!tokens.ok()) return Error(tokens.error().kind, tokens.error().message, call.prompt_field);
  prompts.push_back(tokens.take_value());
  return prompts;
}

Result<void> GenerationRun::submit(const api::GenerationCall& call) {
  const ServedModel& model = *options_.model;
  streaming_ = call.stream;
  const std::vector<std::vector<TokenId>> prompts = TRY(tokenize_all(call));
  std::vector<Branch> branches;
  for (const std::vector<TokenId>& prompt : prompts) {
    std::string echo;
    if (call.echo) echo = TRY(model.tokenizer->decode(prompt, true));
    prompt_tokens_ += static_cast<std::int32_t>(prompt.size());
    for (std::int32_t choice = 0; choice < call.num_choices; ++choice) {
      GenerationRequest::Fields fields;
      fields.prompt = prompt;
      fields.sampling = call.sampling;
      if (fields.sampling.seed) fields.sampling.seed = choice_seed(*fields.sampling.seed, choice);
      fields.max_tokens = call.max_tokens;
      fields.stop_tokens = model.eos_tokens;
      fields.stop_strings = call.stop_strings;
      auto request = GenerationRequest::create(std::move(fields), model.limits);
      if (!request.ok()) {
        Error error = request.take_error();
        if (error.field == "prompt") error.field = call.prompt_field;
        return error;
      }
      Branch branch;
      branch.text = std::make_unique<TextStream>(*model.tokenizer,
                                                 TextStream::Options{.stop_strings = call.stop_strings,
                                                                     .stop_tokens = model.eos_tokens,
                                                                     .skip_special_tokens = true,
                                                                     .logprobs = call.sampling.logprobs});
      branch.echo = echo;
      branch.stream = TRY(model.engine->submit(request.take_value(), options_.dispatcher));
      branches.push_back(std::move(branch));
    }
  }
  branches_ = std::move(branches);
  return {};
}

void GenerationRun::begin() {
  http::Exchange& exchange = *options_.exchange;
  if (exchange.gone()) {
    finish();
    return;
  }
  for (const Branch& branch : branches_) options_.dispatcher->add(branch.stream.id(), shared_from_this());
  const std::weak_ptr<GenerationRun> weak = weak_from_this();
  exchange.on_gone([weak] {
    if (const auto self = weak.lock()) self->finish();
  });
  if (streaming_) {
    exchange.on_drained([weak] {
      if (const auto self = weak.lock()) self->on_events();
    });
    http::Response head;
    head.content_type = options_.encoder->stream_content_type();
    head.headers.add("Cache-Control", "no-cache");
    head.headers.add("X-Accel-Buffering", "no");
    head.headers.add("x-mlxd-backend", options_.model->engine->backend_info().name);
    options_.encoder->begin(head.body);
    exchange.begin_stream(std::move(head), http::kSseKeepAlive);
  }
  on_events();
}

void GenerationRun::on_events() {
  if (done_) return;
  http::Exchange& exchange = *options_.exchange;
  // A slow reader's events wait in its streams; drained, it comes back here.
  if (streaming_ && exchange.pending_bytes() >= http::Exchange::kHighWaterBytes) return;
  std::string out;
  bool all_finished = true;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    if (!advance(branches_[i], static_cast<std::int32_t>(i), out)) return;
    all_finished = all_finished && branches_[i].finished;
  }
  if (all_finished) {
    complete(out);
  } else if (!out.empty()) {
    exchange.send(out);
  }
}

bool GenerationRun::advance(Branch& branch, std::int32_t index, std::string& out) {
  if (branch.finished) return true;
  events_.clear();
  const bool more = branch.stream.take_events(events_);
  if (events_.empty()) {
    if (more) return true;
    fail(Error(ErrorKind::kInternal, "the engine ended the request without a last event"), out);
    return false;
  }
  measure(branch, events_.size());
  std::optional<TextEvent> event = branch.text->push(std::move(events_));
  events_ = {};
  if (!event) return true;
  if (event->error) {
    fail(*event->error, out);
    return false;
  }
  if (!branch.echo.empty()) event->text.insert(0, std::exchange(branch.echo, {}));
  if (streaming_) {
    options_.encoder->event(out, index, *event);
  } else {
    branch.choice.text += event->text;
    std::move(event->logprobs.begin(), event->logprobs.end(), std::back_inserter(branch.choice.logprobs));
  }
  if (event->finish) {
    branch.finished = true;
    branch.choice.finish = *event->finish;
    branch.choice.matched_stop = std::move(event->matched_stop);
    options_.dispatcher->remove(branch.stream.id());
    // After a stop string the engine is still at it: letting go cancels.
    branch.stream = GenerationStream();
  }
  return true;
}

void GenerationRun::measure(Branch& branch, std::size_t num_tokens) {
  const TimePoint now = Clock::real().now();
  if (!branch.begun) {
    branch.begun = true;
    Metrics::observe(model_metrics_.time_to_first_token, seconds_between(options_.arrived, now));
  } else if (num_tokens > 0) {
    const double each = seconds_between(branch.last_token, now) / static_cast<double>(num_tokens);
    for (std::size_t i = 0; i < num_tokens; ++i) Metrics::observe(model_metrics_.inter_token, each);
  }
  branch.last_token = now;
}

Usage GenerationRun::usage() const {
  Usage usage;
  usage.prompt_tokens = prompt_tokens_;
  for (const Branch& branch : branches_) usage.completion_tokens += branch.text->completion_tokens();
  return usage;
}

void GenerationRun::complete(std::string& out) {
  http::Exchange& exchange = *options_.exchange;
  options_.metrics->observe_generation_seconds(seconds_between(options_.arrived, Clock::real().now()));
  if (streaming_) {
    options_.encoder->end(out, usage());
    exchange.send(out);
    exchange.end();
  } else {
    std::vector<api::Choice> choices;
    for (Branch& branch : branches_) choices.push_back(std::move(branch.choice));
    http::Response response;
    response.headers.add("x-mlxd-backend", options_.model->engine->backend_info().name);
    response.body = options_.encoder->whole(choices, usage());
    exchange.respond(std::move(response));
  }
  finish();
}

void GenerationRun::fail(const Error& error, std::string& out) {
  log::debug("request {} failed: {}", options_.exchange->request.id, error.message);
  if (streaming_) {
    options_.encoder->fail(out, error);
    options_.exchange->send(out);
    options_.exchange->end();
  } else {
    options_.exchange->respond_error(api::status_of(error.kind), error);
  }
  finish();
}

void GenerationRun::finish() {
  if (done_) return;
  done_ = true;
  // The dispatcher's references may be the last ones.
  const std::shared_ptr<GenerationRun> self = shared_from_this();
  for (Branch& branch : branches_) {
    if (branch.finished) continue;
    options_.dispatcher->remove(branch.stream.id());
    branch.stream = GenerationStream();
  }
}

}  // namespace mlxd
