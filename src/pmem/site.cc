#include "pmem/site.h"

namespace paste::pmem {

std::string_view to_string(Site site) noexcept {
  switch (site) {
    case Site::superblock: return "superblock";
    case Site::root_entry: return "root_entry";
    case Site::log_data: return "log_data";
    case Site::log_piece_list: return "log_piece_list";
    case Site::log_entry: return "log_entry";
    case Site::log_page: return "log_page";
    case Site::log_page_header: return "log_page_header";
    case Site::log_link: return "log_link";
    case Site::log_seal: return "log_seal";
    case Site::publish_list: return "publish_list";
    case Site::publish_commit: return "publish_commit";
    case Site::publish_words: return "publish_words";
    case Site::publish_retire: return "publish_retire";
    case Site::recover_words: return "recover_words";
    case Site::recover_tail: return "recover_tail";
    case Site::recover_accepted: return "recover_accepted";
    case Site::barrier_create: return "barrier_create";
    case Site::barrier_page: return "barrier_page";
    case Site::barrier_ticket: return "barrier_ticket";
    case Site::barrier_commit: return "barrier_commit";
    case Site::barrier_recover: return "barrier_recover";
    case Site::count_: break;
  }
  return "unknown";
}

}  // namespace paste::pmem
