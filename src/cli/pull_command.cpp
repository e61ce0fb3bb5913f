#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "catalog/download_journals.h"
#include "catalog/downloader.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/pull_view.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kRedraw{100};
constexpr int kAttempts = 6;

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

  Downloader::Options download_options;
  download_options.attempts = kAttempts;
  const auto downloader = TRY(Downloader::start(
      HubClient(TRY(locate_hub())), std::make_unique<MemoryJournal>(), std::move(download_options)));
  const InterruptFlag interrupt;
  StopFlag never;
  const std::string id = TRY(downloader->begin(wish)).status.record.id;
  PullView view(context.console);
  DownloadStatus status = TRY(downloader->status(id));
  while (moves(status)) {
    view.show(status);
    if (interrupt.raised()) {
      view.finish();
      context.console.report_error("stopped: what came is kept; run it again to go on");
      return kExitFailure;
    }
    never.wait_for(kRedraw);
    status = TRY(downloader->status(id));
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
