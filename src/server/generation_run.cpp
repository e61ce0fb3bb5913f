#include "server/generation_run.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

#include "api/error_status.h"
#include "base/log.h"
#include "http/request_id.h"
#include "http/sse.h"
#include "server/error_envelopes.h"
#include "server/ignored_fields.h"
#include "server/prompt_tokens.h"
#include "text/answer_constraint.h"
#include "text/answer_grammar.h"

namespace mlxd {
namespace {

constexpr std::size_t kCallIdSize = 24;

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

/// The tools of which a call may come.
std::vector<Tool> tools_to_call(const Conversation& conversation) {
  std::vector<Tool> tools;
  for (const Tool& tool : conversation.tools) {
    if (conversation.tool_to_call.empty() || tool.name == conversation.tool_to_call) tools.push_back(tool);
  }
  return tools;
}

bool any_is_strict(const std::vector<Tool>& tools) {
  return std::any_of(tools.begin(), tools.end(), [](const Tool& tool) { return tool.strict; });
}

/// What of a chat asks for a constraint; empty: nothing.
std::string constraining_field(const api::GenerationCall& call) {
  if (call.answer_grammar) return call.grammar_field;
  if (call.conversation->must_call) return "tool_choice";
  if (any_is_strict(call.conversation->tools)) return "tools";
  return call.thinking_budget ? "thinking_budget" : "";
}

}  // namespace

GenerationRun::GenerationRun(Options options)
    : options_(std::move(options)), model_metrics_(options_.metrics->for_model(options_.model->name)) {}

GenerationRun::~GenerationRun() = default;

// Of a text far longer than any answer the beginning will do.
Result<std::vector<TokenId>> GenerationRun::tokenize_prediction(const std::string& text) const {
  constexpr std::size_t kMostBytesPerToken = 16;
  const auto context = static_cast<std::size_t>(options_.model->limits.context_tokens);
  std::string_view beginning = text;
  if (text.size() / kMostBytesPerToken > context) {
    beginning = beginning.substr(0, context * kMostBytesPerToken);
    while (!beginning.empty() && (static_cast<unsigned char>(text[beginning.size()]) & 0xC0U) == 0x80U)
      beginning.remove_suffix(1);
  }
  auto tokens = options_.model->tokenizer->encode(beginning, false);
  if (!tokens.ok()) return Error(tokens.error().kind, tokens.error().message, "prediction");
  return tokens;
}

Result<void> GenerationRun::submit(const api::GenerationCall& call) {
  const ServedModel& model = *options_.model;
  streaming_ = call.stream;
  ignored_ = as_header(call.ignored);
  TokenizedPrompts tokenized = TRY(tokenize_prompts(call, *options_.model));
  chat_ = std::move(tokenized.chat);
  num_dropped_messages_ = tokenized.num_dropped_messages;
  end_tokens_ = model.eos_tokens;
  end_tokens_.insert(end_tokens_.end(), tokenized.end_tokens.begin(), tokenized.end_tokens.end());
  const std::vector<std::vector<TokenId>>& prompts = tokenized.prompts;
  if (call.prediction) prediction_ = TRY(tokenize_prediction(*call.prediction));
  submitted_ = Clock::real().now();
  std::vector<Branch> branches;
  std::vector<PromptEcho> echoes;
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    const std::vector<TokenId>& prompt = prompts[p];
    if (call.echo)
      echoes.push_back(
          TRY(PromptEcho::create(*model.tokenizer, call.prompts[p], prompt, call.scores_prompt())));
    prompt_tokens_ += static_cast<std::int32_t>(prompt.size());
    for (std::int32_t choice = 0; choice < call.num_choices; ++choice) {
      GenerationRequest request = TRY(make_request(call, prompt, choice));
      Branch branch;
      branch.text = make_text_stream(call);
      branch.has_stream = !call.echo_alone || (call.scores_prompt() && choice == 0);
      if (branch.has_stream)
        branch.stream = TRY(model.engine->submit(std::move(request), options_.dispatcher));
      branches.push_back(std::move(branch));
    }
  }
  branches_ = std::move(branches);
  echoes_ = std::move(echoes);
  num_choices_ = call.num_choices;
  if (options_.explain_cache) explained_prompts_ = prompts;
  return {};
}

PromptEcho* GenerationRun::echo_of(std::int32_t index) {
  return echoes_.empty() ? nullptr : &echoes_[static_cast<std::size_t>(index / num_choices_)];
}

std::unique_ptr<TextStream> GenerationRun::make_text_stream(const api::GenerationCall& call) const {
  TextStream::Options options{.stop_strings = call.stop_strings,
                              .stop_tokens = end_tokens_,
                              .logprobs = call.sampling.logprobs,
                              .max_calls = call.max_tool_calls};
  if (chat_) options.parser.emplace(chat_->format, call.conversation->tools, chat_->start);
  return std::make_unique<TextStream>(*options_.model->tokenizer, std::move(options));
}

Result<GenerationRequest> GenerationRun::make_request(const api::GenerationCall& call,
                                                      const std::vector<TokenId>& prompt,
                                                      std::int32_t choice) const {
  GenerationRequest::Fields fields;
  fields.prompt = prompt;
  fields.sampling = call.sampling;
  if (fields.sampling.seed) fields.sampling.seed = choice_seed(*fields.sampling.seed, choice);
  fields.max_tokens = call.max_tokens;
  fields.stop_tokens = end_tokens_;
  fields.stop_strings = call.stop_strings;
  fields.priority = options_.priority;
  fields.client = options_.client;
  fields.cache_salt = call.cache_salt;
  fields.adapter = options_.adapter;
  fields.deadline = options_.deadline;
  // Once is enough.
  if (call.scores_prompt() && choice == 0) fields.prompt_scoring = PromptScoring::kWithAnswer;
  if (call.echo_alone) fields.prompt_scoring = PromptScoring::kAlone;
  fields.explain_cache = options_.explain_cache && choice == 0;
  if (prediction_) fields.prediction = *prediction_;
  fields.constraint = TRY(make_constraint(call));
  auto request = GenerationRequest::create(std::move(fields), options_.model->limits);
  if (request.ok()) return request;
  Error error = request.take_error();
  if (error.field == "prompt") error.field = call.prompt_field;
  return error;
}

// An answer to a schema, or of calls, is a grammar.
Result<std::optional<GrammarMatcher>> GenerationRun::compile_grammar(const api::GenerationCall& call) const {
  const ServedModel& model = *options_.model;
  const Conversation& conversation = *call.conversation;
  const std::vector<Tool> tools = tools_to_call(conversation);
  const AnswerWish wish{.content = call.answer_grammar ? &*call.answer_grammar : nullptr,
                        .tools = tools,
                        .must_call = conversation.must_call,
                        .max_calls = conversation.tool_to_call.empty() ? call.max_tool_calls : 1,
                        .thinking_budget = call.thinking_budget};
  const std::optional<Grammar> grammar = TRY(answer_grammar(wish, chat_->format, *model.tokenizer));
  if (!grammar) return std::optional<GrammarMatcher>();
  if (wish.content != nullptr && wish.content->kind == GrammarKind::kLark && *grammar != *wish.content)
    TRY(model.grammars->compile(*wish.content));
  return std::optional(TRY(model.grammars->compile(*grammar)));
}

Result<std::shared_ptr<TokenConstraint>> GenerationRun::make_constraint(
    const api::GenerationCall& call) const {
  const std::string field = chat_ ? constraining_field(call) : "";
  if (field.empty()) return std::shared_ptr<TokenConstraint>();
  const ServedModel& model = *options_.model;
  const dialects::OutputFormat& format = chat_->format;
  if (model.grammars == nullptr)
    return Error(ErrorKind::kUnsupported,
                 field + " is not supported with model '" + model.name + "' yet: leave it out", field);
  if (call.thinking_budget && format.reasoning.close.empty() && !format.is_harmony)
    return Error(ErrorKind::kUnsupported,
                 "thinking_budget is not supported: model '" + model.name + "' does not reason: leave it out",
                 "thinking_budget");
  auto grammar = compile_grammar(call);
  if (!grammar.ok()) return Error(grammar.error().kind, field + ": " + grammar.error().message, field);
  AnswerConstraint::Options options{.tokenizer = model.tokenizer,
                                    .vocab_size = model.limits.vocab_size,
                                    .end_tokens = model.eos_tokens,
                                    .reasoning = format.reasoning,
                                    .start = chat_->start,
                                    .grammar = grammar.take_value(),
                                    .thinking_budget = call.thinking_budget};
  if (format.is_harmony) options.thinking_budget.reset();  // a part of the grammar
  return std::shared_ptr<TokenConstraint>(TRY(AnswerConstraint::create(std::move(options))));
}

void GenerationRun::begin() {
  http::Exchange& exchange = *options_.exchange;
  if (exchange.gone()) {
    finish();
    return;
  }
  for (const Branch& branch : branches_) {
    if (branch.has_stream) options_.dispatcher->add(branch.stream.id(), shared_from_this());
  }
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
    add_headers(head);
    options_.encoder->begin(head.body);
    exchange.begin_stream(std::move(head), [weak, comments = options_.encoder->takes_comments()] {
      if (!comments) return std::string();
      const auto self = weak.lock();
      return self ? self->keep_alive() : std::string(http::kSseKeepAlive);
    });
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
  PromptEcho* const echo = echo_of(index);
  const bool awaits_scores = echo != nullptr && echo->awaits_scores();
  // They come with the prompt's first choice; the others wait for them.
  if (awaits_scores && index % num_choices_ != 0) return true;
  if (!branch.has_stream) {
    TextEvent whole;
    whole.finish = FinishReason::kLength;
    deliver(branch, index, std::move(whole), out);
    return true;
  }
  events_.clear();
  const bool more = branch.stream.take_events(events_);
  if (events_.empty()) {
    if (more) return true;
    fail(Error(ErrorKind::kInternal, "the engine ended the request without a last event"), out);
    return false;
  }
  if (events_.front().cache) branch.cache = events_.front().cache;
  if (awaits_scores && events_.front().prompt_scores) echo->set_scores(events_.front().prompt_scores);
  // A failure's event has no token.
  const auto num_tokens =
      std::count_if(events_.begin(), events_.end(), [](const TokenEvent& e) { return e.token != kNoToken; });
  if (num_tokens > 0) measure(branch, static_cast<std::size_t>(num_tokens));
  std::optional<TextEvent> event = branch.text->push(std::move(events_));
  events_ = {};
  if (!event) return true;
  if (event->error) {
    const Error error = *std::exchange(event->error, std::nullopt);
    // What came before it has been said.
    if (!event->pieces.empty()) deliver(branch, index, std::move(*event), out);
    fail(error, out);
    return false;
  }
  deliver(branch, index, std::move(*event), out);
  return true;
}

void GenerationRun::deliver(Branch& branch, std::int32_t index, TextEvent event, std::string& out) {
  const PromptEcho* const echo = echo_of(index);
  if (!std::exchange(branch.delivered, true) && echo != nullptr)
    echo->put_before(*options_.model->tokenizer, event);
  for (AnswerPiece& piece : event.pieces) {
    if (piece.kind == AnswerPiece::Kind::kCallBegin && piece.call_id.empty())
      piece.call_id = "call_" + http::random_id(kCallIdSize);
  }
  if (streaming_) {
    options_.encoder->event(out, index, event, usage_counts());
  } else {
    for (AnswerPiece& piece : event.pieces) append_piece(branch.choice.pieces, std::move(piece));
    std::move(event.logprobs.begin(), event.logprobs.end(), std::back_inserter(branch.choice.logprobs));
  }
  if (event.finish) {
    branch.finished = true;
    branch.choice.finish = *event.finish;
    branch.choice.matched_stop = std::move(event.matched_stop);
    if (!branch.has_stream) return;
    options_.dispatcher->remove(branch.stream.id());
    // After a stop string the engine is still at it: letting go cancels.
    branch.stream = GenerationStream();
  }
}

void GenerationRun::measure(Branch& branch, std::size_t num_tokens) {
  const TimePoint now = Clock::real().now();
  if (!branch.begun) {
    branch.begun = true;
    branch.first_token = now;
    Metrics::observe(model_metrics_.time_to_first_token, seconds_between(options_.arrived, now));
  } else {
    const double each = seconds_between(branch.last_token, now) / static_cast<double>(num_tokens);
    for (std::size_t i = 0; i < num_tokens; ++i) Metrics::observe(model_metrics_.inter_token, each);
  }
  branch.last_token = now;
}

Usage GenerationRun::usage() const {
  Usage usage;
  usage.prompt_tokens = prompt_tokens_;
  add_times(usage);
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    const Branch& branch = branches_[i];
    usage.completion_tokens += branch.text->completion_tokens();
    usage.reasoning_tokens += branch.text->reasoning_tokens();
    if (prediction_) {
      if (!usage.prediction) usage.prediction.emplace();
      usage.prediction->accepted_tokens += branch.text->prediction().accepted_tokens;
      usage.prediction->rejected_tokens += branch.text->prediction().rejected_tokens;
    }
    // A prompt counts once, however many choices it has: as its first one met the cache.
    const auto choices = static_cast<std::size_t>(num_choices_);
    if (i % choices != 0 || !branch.cache) continue;
    usage.cached_prompt_tokens += branch.cache->cached_tokens;
    if (branch.cache->explained)
      usage.cache.push_back(explain(*branch.cache, explained_prompts_[i / choices]));
  }
  return usage;
}

void GenerationRun::add_times(Usage& usage) const {
  std::optional<TimePoint> first;
  TimePoint last;
  for (const Branch& branch : branches_) {
    if (!branch.begun) continue;
    first = std::min(first.value_or(branch.first_token), branch.first_token);
    last = std::max(last, branch.last_token);
  }
  if (!first) return;
  usage.prompt_time = *first - submitted_;
  usage.generation_time = last - *first;
}

Usage GenerationRun::usage_counts() const {
  Usage counts;
  counts.prompt_tokens = prompt_tokens_;
  const auto choices = static_cast<std::size_t>(num_choices_);
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    counts.completion_tokens += branches_[i].text->completion_tokens();
    counts.reasoning_tokens += branches_[i].text->reasoning_tokens();
    if (i % choices == 0 && branches_[i].cache)
      counts.cached_prompt_tokens += branches_[i].cache->cached_tokens;
  }
  return counts;
}

CacheExplanation GenerationRun::explain(const CacheReport& report, const std::vector<TokenId>& prompt) const {
  constexpr std::ptrdiff_t kTokensAround = 16;
  const auto text = [this](std::span<const TokenId> tokens) {
    const auto decoded = options_.model->tokenizer->decode(tokens, false);
    return decoded.ok() ? *decoded : std::string();
  };
  const std::span<const TokenId> tokens = prompt;
  const auto position = static_cast<std::ptrdiff_t>(report.position);
  const std::ptrdiff_t before = std::min(position, kTokensAround);
  const std::ptrdiff_t after = std::min(std::ssize(tokens) - position, kTokensAround);
  CacheExplanation explanation;
  explanation.prompt_tokens = static_cast<std::int32_t>(prompt.size());
  explanation.cached_tokens = report.cached_tokens;
  explanation.outcome = report.outcome;
  explanation.position = report.position;
  explanation.prompt_before =
      text(tokens.subspan(static_cast<std::size_t>(position - before), static_cast<std::size_t>(before)));
  explanation.prompt_after =
      text(tokens.subspan(static_cast<std::size_t>(position), static_cast<std::size_t>(after)));
  explanation.same_client = report.same_client;
  const std::span<const TokenId> cached = report.cached_continuation;
  explanation.cached_after = text(cached.first(std::min(cached.size(), std::size_t{kTokensAround})));
  return explanation;
}

std::string GenerationRun::keep_alive() const {
  for (const Branch& branch : branches_) {
    const auto place = branch.finished || !branch.has_stream ? std::nullopt : branch.stream.queue_place();
    if (!place) continue;
    std::string text = ": waiting, " + std::to_string(place->position) + " before it";
    if (place->expected_seconds > 0.0)
      text += ", about " + std::to_string(static_cast<int>(std::ceil(place->expected_seconds))) + " s";
    return text + "\n\n";
  }
  return std::string(http::kSseKeepAlive);
}

void GenerationRun::add_headers(http::Response& response) const {
  response.headers.add("x-mlxd-backend", options_.model->engine->backend_info().name);
  add_ignored(ignored_, response);
  add_request_id(options_.exchange->request, response);
  if (num_dropped_messages_ > 0)
    response.headers.add("x-mlxd-truncated", std::to_string(num_dropped_messages_) + " messages");
}

void GenerationRun::complete(std::string& out) {
  http::Exchange& exchange = *options_.exchange;
  tell_usage();
  if (streaming_) {
    options_.encoder->end(out, usage());
    exchange.send(out);
    exchange.end();
  } else {
    std::vector<api::Choice> choices;
    for (Branch& branch : branches_) choices.push_back(std::move(branch.choice));
    http::Response response;
    add_headers(response);
    response.body = options_.encoder->whole(choices, usage());
    exchange.respond(std::move(response));
  }
  finish();
}

void GenerationRun::fail(const Error& error, std::string& out) {
  log::debug("request {} failed: {}", options_.exchange->request.id, error.message);
  tell_usage();
  if (streaming_) {
    options_.encoder->fail(out, error);
    options_.exchange->send(out);
    options_.exchange->end();
  } else {
    const int status = api::status_of(error.kind);
    options_.exchange->respond_error(status, error, status == 503 ? 1 : 0);
  }
  finish();
}

// Before the answer's last byte: whoever has read it meets limits that know of it.
void GenerationRun::tell_usage() {
  if (!options_.on_used) return;
  options_.on_used(usage_counts());
  options_.on_used = {};
}

void GenerationRun::finish() {
  if (done_) return;
  done_ = true;
  tell_usage();
  // The dispatcher's references may be the last ones.
  const std::shared_ptr<GenerationRun> self = shared_from_this();
  for (Branch& branch : branches_) {
    if (branch.finished || !branch.has_stream) continue;
    options_.dispatcher->remove(branch.stream.id());
    branch.stream = GenerationStream();
  }
}

}  // namespace mlxd
