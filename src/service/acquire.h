// A model for a request: acquired wherever the hub does so, used on the worker's thread.
#pragma once

#include <functional>

#include "service/endpoint.h"

namespace lull {

// Calls use on the worker's thread with
// the model, or sends the error: the hub's, or what use returns. A client that leaves while it
// waits is not waited for. To be called on the worker's thread; query.abandoned is set here.
void AcquireModel(Service& service, ModelQuery query, const ResponderPtr& responder,
                  std::function<Status(ServedModelPtr)> use);

}  // namespace lull
