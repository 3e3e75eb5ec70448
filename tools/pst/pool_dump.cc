// pst pool dump: the records of a log, or the bytes of a buffer or of the superblock.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "commands.h"
#include "dump_forms.h"
#include "open_pool.h"

namespace paste::tool {
namespace {

struct Settings {
  std::string path;
  std::string log = "default";
  uint64_t from = 1;
  uint64_t limit = UINT64_MAX;
  DumpForm form = DumpForm::text;
  uint64_t buffer = 0;
  bool superblock = false;
};

int dump_buffer(const Settings& s, const pool::Core& core) {
  if (s.buffer >= core.buffer_end()) {
    fmt::print(stderr, "pst pool dump: --buffer: {} is not a buffer: the last is {}\n", s.buffer,
               core.buffer_end() - 1);
    return kExitFailed;
  }
  const auto name = static_cast<BufferName>(s.buffer);
  print_hex({core.buffer(name), core.buffer_size()}, s.buffer * core.buffer_size());
  return kExitOk;
}

// The superblocks are shown even when they are damaged: that is when one wants to see them.
int dump_superblock(const Settings& s) {
  pmem::RegionOptions options;
  options.path = s.path;
  options.read_only = true;
  auto region = pmem::open_region(options);
  if (!region) {
    fmt::print(stderr, "pst pool dump: {}\n", region.error().message());
    return kExitFailed;
  }
  for (int copy = 0; copy < 2; ++copy) {
    const uint64_t offset = pool::format::kSuperblockOffset[copy];
    pool::format::Superblock block;
    if (offset + sizeof block > (*region)->size()) break;
    std::memcpy(&block, (*region)->data() + offset, sizeof block);
    fmt::print(
        "copy {} at {}: magic {} ({:#x}), version {}, crc {:#010x}\n"
        "  {} in buffers of {}, domain {}, shards {}, features compatible {:#x} "
        "incompatible {:#x}\n",
        copy, offset, block.magic == pool::format::kMagic ? "good" : "WRONG", block.magic,
        block.version, block.crc, block.region_bytes, block.buffer_size, block.domain,
        block.shard_count, block.compatible, block.incompatible);
    print_hex({(*region)->data() + offset, sizeof block}, offset);
  }
  return kExitOk;
}

int dump_log(const Settings& s, InspectedPool& pool) {
  log::Log* log = pool.logs->find(s.log);
  if (log == nullptr) {
    std::string names;
    for (const log::Log* one : pool.logs->list()) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", one->name());
    }
    fmt::print(stderr, "pst pool dump: --log: there is no log '{}'; the pool has: {}\n", s.log,
               names.empty() ? "none" : names);
    return kExitFailed;
  }
  int status = kExitOk;
  std::string bytes;
  uint64_t left = s.limit;
  for (Lsn lsn = std::max<Lsn>(s.from, log->first()); lsn < log->next() && left != 0; ++lsn) {
    const auto record = log->read(lsn);
    if (!record) {
      if (record.error().code() == Code::not_found) continue;
      fmt::print(stderr, "damaged: record {} of log {}: {}\n", lsn, s.log,
                 record.error().message());
      status = kExitDamaged;
      continue;
    }
    --left;
    if (s.form == DumpForm::places) {
      print_places(lsn, record->slices);
      continue;
    }
    bytes.clear();
    for (const Slice& slice : record->slices) bytes += as_text(pool.core->bytes(slice));
    print_record(s.form, lsn, record->time_ns, bytes);
  }
  return status;
}

int run(const Settings& s) {
  if (s.superblock) return dump_superblock(s);
  auto pool = inspect_pool(s.path);
  if (!pool) {
    fmt::print(stderr, "pst pool dump: {}\n", pool.error().message());
    return kExitFailed;
  }
  InspectedPool& found = **pool;
  if (found.core && s.buffer != 0) return dump_buffer(s, *found.core);
  if (found.logs) return dump_log(s, found);
  fmt::print(stderr,
             "pst pool dump: {} is too damaged to read its logs; `pst pool check {}` lists what is "
             "damaged, --superblock and --buffer show bytes\n",
             s.path, s.path);
  return kExitDamaged;
}

}  // namespace

Command pool_dump_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "dump";
  command.summary = "Print the records of a log, or the bytes of a buffer";
  command.teach =
      "  pst pool dump orders.paste --log orders --from 1 --limit 10\n"
      "  pst pool dump orders.paste --log orders --form ndjson | jq -r .data\n"
      "  pst pool dump orders.paste --buffer 65\n"
      "ndjson: one object a line, {\"lsn\", \"time\", \"data\"}; a record that is not UTF-8 has\n"
      "\"base64\" instead of \"data\". raw: the bytes of the records, nothing between them.\n"
      "places: which buffers hold each record, {\"lsn\", \"places\": [{\"buffer\", …}]}.\n"
      "Exit status: 0 printed, 1 could not, 2 damaged records were left out (or wrong options).";
  command.positionals = {{"PATH", "the pool", set_text(s->path)}};
  command.options = {
      {"log", "NAME", "which log", "default", set_text(s->log)},
      {"from", "LSN", "first record", "1", set_number(s->from, 1, UINT64_MAX)},
      {"limit", "N", "at most so many records", "all", set_number(s->limit, 0, UINT64_MAX)},
      {"form", "FORM", "text, hex, ndjson, raw or places", "text",
       set_choice<DumpForm>(s->form, {{"text", DumpForm::text},
                                      {"hex", DumpForm::hex},
                                      {"ndjson", DumpForm::ndjson},
                                      {"raw", DumpForm::raw},
                                      {"places", DumpForm::places}})},
      {"buffer", "N", "instead: the bytes of this buffer", "",
       set_number(s->buffer, 1, UINT32_MAX)},
      {"superblock", "", "instead: both copies of the superblock", "", set_switch(s->superblock)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
