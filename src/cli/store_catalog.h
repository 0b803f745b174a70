// The store, and a model file given at start, as the models that a server may load.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "service/model_catalog.h"
#include "store/store.h"

namespace lull {

class StoreCatalog : public ModelCatalog {
 public:
  // own: the MODEL argument of serve, a name of the store or a path; "": none. locate, hub: as
  // Store.
  static Result<StoreCatalog> Open(const std::string& folder, const std::string& own,
                                   LocateFn locate, HubOptions hub = {});

  // What requests call the model given at start; "" where none was.
  const std::string& own_name() const { return own_.name; }

  std::vector<AvailableModel> List() const override;
  Result<AvailableModel> Find(const std::string& name) const override;
  Result<AvailableModel> Offer(const std::string& name) const override;
  Result<AvailableModel> Pull(const std::string& name, const ProgressFn& progress) override;
  Status Copy(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& name) override;

 private:
  StoreCatalog(const std::string& folder, LocateFn locate, HubOptions hub)
      : store_(folder, std::move(locate), std::move(hub)) {}

  Store store_;
  AvailableModel own_;
};

}  // namespace lull
