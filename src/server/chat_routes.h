// /api/v1/chats and /chat-folders: each account sees its own. A function that adds routes; the clock, and the
// store's database, must outlive the routes' exchanges.
#pragma once

#include "base/clock.h"
#include "server/manage_routes.h"
#include "store/chat_store.h"

namespace mlxd {

void add_chat_routes(ManageRoutes& routes, const ChatStore& store, const Clock& clock);

}  // namespace mlxd
