#include <boost/json.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "catalog/downloader.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/pull_source.h"
#include "cli/pull_view.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::milliseconds kServerInterval{250};  // as often as it has news

bool moves(const DownloadStatus& status) {
  return status.record.state == DownloadState::kQueued || status.record.state == DownloadState::kRunning;
}

std::string to_json_text(const DownloadStatus& status) {
  return pretty_json(json::object{{"model", status.record.repository},
                                  {"revision", status.record.revision},
                                  {"commit", status.record.commit},
                                  {"bytes", status.record.total_bytes},
                                  {"files", status.files.size()},
                                  {"path", status.snapshot}});
}

}  // namespace

Result<int> pull_command(const CommandContext& context, const PullOptions& options) {
  Downloader::Wish wish{.repository = options.model, .patterns = options.patterns};
  if (const std::size_t at = wish.repository.find('@'); at != std::string::npos) {
    wish.revision = wish.repository.substr(at + 1);
    wish.repository.resize(at);
  }
  if (!options.revision.empty()) wish.revision = options.revision;

  // A server that runs does it: it would not know of what another process downloads.
  std::optional<ManageClient> server = TRY(ManageClient::find_running(context.state));
  const std::chrono::milliseconds interval = server ? kServerInterval : kRedraw;
  const InterruptFlag interrupt;
  StopFlag never;
  const auto source = server ? TRY(pull_through(std::move(*server), wish))
                             : TRY(pull_here(TRY(open_hub(context.state)), wish));
  PullView view(context.console);
  DownloadStatus status = TRY(source->status());
  while (moves(status)) {
    view.show(status);
    if (interrupt.raised()) {
      view.finish();
      context.console.report_error(source->interrupt());
      return kExitFailure;
    }
    never.wait_for(interval);
    auto next = source->status();
    if (!next.ok()) {
      view.finish();
      return next.take_error();
    }
    status = next.take_value();
  }
  view.show(status);
  view.finish();
  if (status.record.state != DownloadState::kDone) {
    context.console.report_error("cannot download " + wish.repository + ": " + status.record.message);
    return kExitFailure;
  }
  context.console.write(options.json ? to_json_text(status) : status.snapshot + "\n");
  return kExitOk;
}

}  // namespace mlxd::cli
