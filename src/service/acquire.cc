#include "service/acquire.h"

#include <exception>

namespace lull {
namespace {

using UseFn = std::function<Status(ServedModelPtr)>;

void Use(Service& service, const ResponderPtr& responder, const UseFn& use, ServedModelPtr served) {
  try {  // a third party's exception ends its request, not the server
    const Status status = use(std::move(served));
    if (!status.ok()) SendError(service, *responder, status.error());
  } catch (const std::exception& error) {
    SendError(service, *responder, {ErrorCode::kInternal, error.what(), "", ""});
  }
}

}  // namespace

void AcquireModel(Service& service, ModelQuery query, const ResponderPtr& responder, UseFn use) {
  const auto abandoned = std::make_shared<std::stop_source>();
  query.abandoned = abandoned->get_token();
  responder->OnDisconnect([abandoned] { abandoned->request_stop(); });
  service.hub->Acquire(
      query, [&service, responder, use = std::move(use)](Result<ServedModelPtr> served) mutable {
        if (!served.ok()) {
          Error error = served.error();
          error.where = "model";  // not the file's path: that is the server's business
          return SendError(service, *responder, error);
        }
        const bool posted = service.worker->Run(
            [&service, responder, use = std::move(use), model = std::move(*served)]() mutable {
              Use(service, responder, use, std::move(model));
            });
        if (!posted)
          SendError(service, *responder,
                    {ErrorCode::kBusy, "too many requests waiting", "", "try again"});
      });
}

}  // namespace lull
