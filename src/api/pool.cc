#include "paste/pool.h"

#include "api/state.h"
#include "port/xdp/binding.h"

namespace paste {
namespace {

std::optional<pmem::Domain> to_pmem(Domain domain) {
  switch (domain) {
    case Domain::automatic:
      return std::nullopt;
    case Domain::process:
      return pmem::Domain::process;
    case Domain::page:
      return pmem::Domain::page;
    case Domain::memory:
      return pmem::Domain::memory;
  }
  return std::nullopt;
}

pmem::RegionOptions region_options(const std::string& path, const PoolOptions& options) {
  pmem::RegionOptions region;
  region.path = path;
  region.domain = to_pmem(options.domain);
  region.media_delay = options.media_delay;
  region.progress = options.progress;
  return region;
}

Result<std::unique_ptr<pmem::Region>> create_region(const std::string& path,
                                                    const PoolOptions& options) {
  if (options.size < kPoolBytesMin) {
    return fail(Code::invalid, "a pool has at least 16 MiB; ask for a larger size");
  }
  pmem::RegionOptions region = region_options(path, options);
  region.create = true;
  region.size = options.size;
  PASTE_TRY_ASSIGN(auto made, pmem::open_region(region));
  PASTE_TRY(pool::Core::create(*made, {.buffer_size = options.buffer_size}));
  PASTE_TRY(made->publish_file());
  return made;
}

}  // namespace

Result<Pool> Pool::open(const std::string& path, const PoolOptions& options) {
  auto region = pmem::open_region(region_options(path, options));
  if (!region && region.error().code() == Code::not_found && options.create) {
    region = create_region(path, options);
  }
  if (!region) return fail(region.error());
  auto state = std::make_unique<State>();
  PASTE_TRY_ASSIGN(state->core, pool::Core::open(std::move(*region)));
  PASTE_TRY(port::wait_for_old_bindings(*state->core));
  PASTE_TRY_ASSIGN(state->logs, log::Logs::recover(*state->core));
  PASTE_TRY(state->core->finish_recovery());
  return Pool(std::move(state));
}

Pool::Pool(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Pool::Pool(Pool&&) noexcept = default;
Pool& Pool::operator=(Pool&&) noexcept = default;
Pool::~Pool() = default;

Result<Log> Pool::log(std::string_view name) {
  if (log::Log* found = state_->logs->find(name)) return Log(*found);
  PASTE_TRY_ASSIGN(log::Log * created, state_->logs->create(name));
  return Log(*created);
}

Result<void> Pool::commit() {
  PASTE_TRY(state_->core->commit());
  state_->logs->reclaim(kReclaimPagesPerBatch);
  return {};
}

Ticket Pool::filling() const noexcept { return state_->core->filling(); }
Ticket Pool::durable() const noexcept { return state_->core->durable(); }
Result<void> Pool::wait_durable(Ticket ticket) { return state_->core->wait_durable(ticket); }
uint32_t Pool::buffer_size() const noexcept { return state_->core->buffer_size(); }
Bytes Pool::bytes(Slice slice) const noexcept { return state_->core->bytes(slice); }

Domain Pool::domain() const noexcept {
  switch (state_->core->region().domain()) {
    case pmem::Domain::process:
      return Domain::process;
    case pmem::Domain::page:
      return Domain::page;
    case pmem::Domain::memory:
      return Domain::memory;
  }
  return Domain::process;
}

}  // namespace paste
