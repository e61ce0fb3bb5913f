#include "runtime/engine_thread.h"

#include <atomic>
#include <exception>
#include <future>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "engine/engine.h"
#include "runtime/engine_inbox.h"
#include "runtime/stream_state.h"

namespace mlxd {
namespace {

// What a request's own wishes lead to, such as a schema that allows no answer.
bool is_asked_for(const Error& error) {
  return error.kind == ErrorKind::kInvalidArgument || error.kind == ErrorKind::kUnsupported;
}

// What the rest of the program may know of a loaded engine without asking its thread.
struct Loaded {
  BackendInfo info;
  const Backend* backend = nullptr;  // while the thread runs; for what any thread may call
};

constexpr std::chrono::milliseconds kQueueNewsInterval{200};

using Load = std::function<Result<std::unique_ptr<Backend>>()>;

TokenEvent failure(const Error& error) {
  TokenEvent event;
  event.error = error;
  return event;
}

// The engine and the loop that runs it. Lives on the engine thread.
class EngineLoop {
 public:
  EngineLoop(std::unique_ptr<Engine> engine, EngineInbox& inbox)
      : engine_(std::move(engine)), inbox_(inbox) {}

  /// Until told to stop.
  void run() {
    while (drain()) {
      if (engine_->idle()) {
        inbox_.publish(engine_->stats());
      } else {
        step();
      }
      inbox_.wake(news_);
      news_.clear();
    }
    end_all(Error(ErrorKind::kCancelled, "the model was unloaded before the request came to its end"));
  }

 private:
  // Takes the mail, waiting for it if there is nothing else to do. False if told to stop.
  bool drain() {
    inbox_.take(mail_, engine_->idle());
    if (mail_.stop) return false;
    for (EngineInbox::Submission& submission : mail_.submissions) {
      const SequenceId id = submission.stream->id();
      const auto submitted = engine_->submit(id, std::move(submission.request));
      if (submitted.ok()) {
        streams_.emplace(id, std::move(submission.stream));
      } else {
        submission.stream->publish(failure(submitted.error()));
        news_.push_back(std::move(submission.stream));
      }
    }
    for (const SequenceId id : mail_.cancellations) {
      engine_->cancel(id);
      streams_.erase(id);
    }
    if (mail_.ending) end_requests(*mail_.ending);
    for (EngineInbox::Order& order : mail_.orders) {
      Result<void> carried_out = carry_out(order);
      inbox_.publish_memory(engine_->memory());
      inbox_.publish(engine_->stats());
      order.done.set_value(std::move(carried_out));
    }
    return true;
  }

  void end_requests(const Error& reason) {
    for (auto& [id, stream] : streams_) {
      engine_->cancel(id);
      stream->publish(failure(reason));
      news_.push_back(std::move(stream));
    }
    streams_.clear();
  }

  Result<void> carry_out(EngineInbox::Order& order) {
    try {
      return order.carry_out(*engine_);
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory, "the system has too little memory");
    }
  }

  // Tells those who wait where they stand: when the line has changed, and a few times a second.
  void publish_queue() {
    const std::int32_t before = std::exchange(num_waiting_, engine_->num_waiting());
    if (num_waiting_ == 0) return;
    const TimePoint now = Clock::real().now();
    if (num_waiting_ == before && now < next_queue_news_) return;
    next_queue_news_ = now + kQueueNewsInterval;
    for (const Engine::QueuePlace& place : engine_->queue()) {
      if (const auto stream = streams_.find(place.id); stream != streams_.end())
        stream->second->set_queue_place(QueuePlace{place.position, place.expected_seconds});
    }
  }

  void step() {
    const std::span<SequenceEvent> events = engine_->step();
    // Before the events, so that whoever has seen a request's end finds it in the statistics.
    if (engine_->device_lost()) inbox_.close(*engine_->device_lost());
    inbox_.publish(engine_->stats());
    bool logged = false;
    for (SequenceEvent& event : events) {
      const auto stream = streams_.find(event.id);
      if (stream == streams_.end()) continue;
      if (event.event.error && is_asked_for(*event.event.error))
        log::debug("a request has failed: {}", event.event.error->message);
      else if (event.event.error && !std::exchange(logged, true))
        log::error("a step of the engine failed: {}", event.event.error->message);
      const bool last = event.event.finish || event.event.error;
      stream->second->publish(std::move(event.event));
      news_.push_back(stream->second);
      if (last) streams_.erase(stream);
    }
    publish_queue();
  }

  void end_all(const Error& reason) {
    inbox_.close(Error(ErrorKind::kUnavailable, "the model is being unloaded"));
    do {
      for (EngineInbox::Submission& submission : mail_.submissions)
        streams_.emplace(submission.stream->id(), std::move(submission.stream));
      for (EngineInbox::Order& order : mail_.orders) order.done.set_value(reason);
      inbox_.take(mail_, false);  // what came before the inbox was closed
    } while (!mail_.submissions.empty() || !mail_.orders.empty());
    for (auto& [id, stream] : streams_) {
      stream->publish(failure(reason));
      news_.push_back(std::move(stream));
    }
    inbox_.wake(news_);
  }

  std::unique_ptr<Engine> engine_;
  EngineInbox& inbox_;
  EngineInbox::Mail mail_;
  std::unordered_map<SequenceId, std::shared_ptr<StreamState>> streams_;
  TimePoint next_queue_news_{};
  std::int32_t num_waiting_ = 0;
  std::vector<std::shared_ptr<StreamState>> news_;  // streams that got an event since the last wake-up
};

Result<std::unique_ptr<Engine>> load_engine(const Load& load, const EngineOptions& options) {
  try {
    return Engine::create(TRY(load()), options);
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory, "the system has too little memory to load the model");
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kInternal, std::string("loading the model failed: ") + failure.what());
  }
}

void run_thread(const Load& load, const EngineOptions& options, EngineInbox& inbox,
                std::promise<Result<Loaded>> loaded) {
  name_this_thread("mlxd-engine");
  auto engine = load_engine(load, options);
  if (!engine.ok()) {
    loaded.set_value(engine.take_error());
    return;
  }
  const Backend& backend = (*engine)->backend();
  inbox.publish((*engine)->stats());
  inbox.publish_memory((*engine)->memory());
  EngineLoop loop(engine.take_value(), inbox);
  loaded.set_value(Loaded{backend.info(), &backend});
  loop.run();
}

}  // namespace

struct EngineThread::Impl {
  std::shared_ptr<EngineInbox> inbox;
  Loaded loaded;
  std::atomic<SequenceId> next_id{1};
  std::thread thread;
};

Result<std::unique_ptr<EngineThread>> EngineThread::start(Load load, EngineOptions options) {
  if (options.max_waiting < 1)
    return invalid_argument("max_waiting is " + std::to_string(options.max_waiting) + ", must be at least 1",
                            "max_waiting");
  auto impl = std::make_unique<Impl>();
  impl->inbox = std::make_shared<EngineInbox>(options.max_waiting);
  std::promise<Result<Loaded>> loaded;
  std::future<Result<Loaded>> outcome = loaded.get_future();
  try {
    impl->thread = std::thread(
        [loaded = std::move(loaded), load = std::move(load), options = std::move(options),
         inbox = impl->inbox]() mutable { run_thread(load, options, *inbox, std::move(loaded)); });
  } catch (const std::system_error& failure) {
    return Error(ErrorKind::kUnavailable, std::string("cannot start the engine's thread: ") + failure.what());
  }
  Result<Loaded> result = outcome.get();
  if (!result.ok()) {
    impl->thread.join();
    return result.take_error();
  }
  impl->loaded = result.take_value();
  return std::unique_ptr<EngineThread>(new EngineThread(std::move(impl)));
}

EngineThread::EngineThread(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

EngineThread::~EngineThread() {
  impl_->inbox->stop();
  impl_->thread.join();
}

Result<GenerationStream> EngineThread::submit(GenerationRequest request, StreamWaker* waker) {
  TRY(check_fits(request, impl_->inbox->stats().capacity_pages));
  auto state = std::make_shared<StreamState>(impl_->next_id.fetch_add(1), waker, impl_->inbox);
  TRY(impl_->inbox->submit({std::move(request), state}));
  return GenerationStream(std::move(state));
}

EngineStats EngineThread::stats() const { return impl_->inbox->stats(); }
const BackendInfo& EngineThread::backend_info() const { return impl_->loaded.info; }
BackendMemory EngineThread::backend_memory() const { return impl_->inbox->memory(); }

Result<void> EngineThread::resize(std::int32_t num_pages) {
  return impl_->inbox->order([num_pages](Engine& engine) { return engine.resize(num_pages); });
}

Result<void> EngineThread::warm_up() {
  return impl_->inbox->order([](Engine& engine) { return engine.warm_up(); });
}

void EngineThread::end_requests(Error reason) { impl_->inbox->end_requests(std::move(reason)); }

Result<PreparedAdapterPtr> EngineThread::prepare_adapter(const Adapter& adapter) const {
  return impl_->loaded.backend->prepare_adapter(adapter);
}

Result<void> EngineThread::attach_adapter(AdapterId id, PreparedAdapterPtr adapter) {
  return impl_->inbox->order(
      [id, adapter = std::move(adapter)](Engine& engine) { return engine.attach_adapter(id, adapter); });
}

Result<void> EngineThread::detach_adapter(AdapterId id) {
  return impl_->inbox->order([id](Engine& engine) { return engine.detach_adapter(id); });
}

GenerationStream::GenerationStream() = default;
GenerationStream::GenerationStream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
GenerationStream::GenerationStream(GenerationStream&&) noexcept = default;

GenerationStream& GenerationStream::operator=(GenerationStream&& other) noexcept {
  std::swap(state_, other.state_);
  const GenerationStream old(std::move(other));  // cancels what was here
  return *this;
}

GenerationStream::~GenerationStream() {
  if (state_) state_->inbox().abandon(*state_);
}

std::uint64_t GenerationStream::id() const { return state_ ? state_->id() : 0; }

bool GenerationStream::take_events(std::vector<TokenEvent>& events) {
  return state_ && state_->take_events(events);
}

std::optional<QueuePlace> GenerationStream::queue_place() const {
  return state_ ? state_->queue_place() : std::nullopt;
}

bool GenerationStream::wait(std::chrono::milliseconds timeout) { return state_ && state_->wait(timeout); }

}  // namespace mlxd
