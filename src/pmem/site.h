// Every place that begins a write-back or a barrier has a name here. Hardware regions ignore it;
// the shadow region can leave one site out, and a crash test must then fail: a site that nothing
// notices is waste, or the tests are weak.
#pragma once

#include <cstdint>
#include <string_view>

namespace paste::pmem {

enum class Site : uint8_t {
  // Write-backs.
  superblock,       // both copies, at creation
  root_entry,       // the unchanging part of a new root entry, and new root pages
  log_data,         // the bytes of a record
  log_piece_list,   // the piece list of a record longer than one range
  log_entry,        // the 32 bytes that name a record
  log_page,         // a zeroed log page, before it is linked
  log_page_header,  // header of a page about to be linked
  log_link,         // link to the next log page
  log_seal,         // a seal
  publish_list,     // phase 1: the list
  publish_commit,   // phase 2: its commit word
  publish_words,    // the words in their places, before the list's area is used again
  publish_retire,   // the commit word cleared, before what the list freed is used again
  recover_words,    // redone words
  recover_tail,     // zeroes behind a torn tail
  recover_accepted, // bytes accepted at open that may only have survived in a cache
  // Barriers.
  barrier_create,   // end of formatting
  barrier_page,     // zeroed pages made durable out of turn
  barrier_ticket,   // phase 1 of a ticket
  barrier_commit,   // phase 2 of a ticket that publishes
  barrier_recover,  // end of open
  count_,
};

[[nodiscard]] std::string_view to_string(Site site) noexcept;

}  // namespace paste::pmem
