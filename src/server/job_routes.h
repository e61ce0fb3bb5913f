// /api/v1/jobs: long jobs over models, and how to follow them. Functions.
#pragma once

#include <string>

#include "server/caller.h"
#include "server/event_hub.h"
#include "server/job_queue.h"
#include "server/manage_routes.h"

namespace mlxd {

/// `jobs` must outlive the routes' exchanges.
void add_job_routes(ManageRoutes& routes, JobQueue& jobs);

/// Options of a queue whose changes are told to `events`: "job", "job_log", "job_gone".
JobQueue::Options with_events(JobQueue::Options options, EventHub& events);
/// The event "jobs" with all that the caller may see, encoded.
std::string first_job_events(JobQueue& jobs, const Caller& caller);

}  // namespace mlxd
