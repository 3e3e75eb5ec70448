#include "script.h"

#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "tcp/segment.h"

namespace paste::scripts {
namespace {

// What a setting's value must be.
const std::map<std::string, char> kSettings = {
    {"cc", 'w'},
    {"rto-min", 'd'},
    {"rto-initial", 'd'},
    {"mss", 'n'},
    {"sack", 'b'},
    {"timestamps", 'b'},
    {"window-scale", 'b'},
    {"ecn", 'b'},
    {"rcvbuf", 'n'},
    {"nagle", 'b'},
    {"keep-alive", 'd'},
    {"keep-alive-interval", 'd'},
    {"keep-alive-probes", 'n'},
    {"user-timeout", 'd'},
    {"time-wait", 'd'},
    {"path-age", 'd'},
    {"delayed-ack", 'd'},
    {"quick-acks", 'n'},
    {"half-open-max", 'n'},
    {"buffers-max", 'n'},
    {"ip", 'n'},
    {"isn", 'n'},
    {"syn-tries", 'n'},
    {"hystart", 'b'},

    {"out-of-order-max", 'n'},
    {"rtt", 'd'},
};

std::optional<uint32_t> to_number(const std::string& text) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || text.empty()) return std::nullopt;
  return value;
}

class Parser {
 public:
  explicit Parser(const std::string& path) { script_.path = path; }

  Result<Script> run(const std::string& text) {
    std::istringstream in(text);
    std::string line;
    while (std::getline(in, line)) {
      ++number_;
      if (!parse_line(line)) {
        return fail(Code::invalid, script_.path + ":" + std::to_string(number_) + ": " + problem_);
      }
    }
    if (script_.title.empty()) {
      return fail(Code::invalid, script_.path +
                                     ":1: the first line must be a comment that says "
                                     "what is shown, with the clause");
    }
    if (!script_.linux_same && script_.linux_differs.empty()) {
      return fail(Code::invalid,
                  script_.path + ":1: neither `linux same` nor `linux differs \"RFC … why\"`");
    }
    return script_;
  }

 private:
  bool wrong(std::string what) {
    problem_ = std::move(what);
    return false;
  }

  bool parse_line(const std::string& line) {
    const size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos) return true;
    if (line[first] == '#') {
      if (script_.title.empty()) script_.title = line.substr(first + 1);
      return true;
    }
    if (line.compare(first, 6, "linux ") == 0) return parse_linux(line.substr(first + 6));
    words_.clear();
    next_ = 0;
    // Blanks inside braces do not separate words.
    std::string word;
    int depth = 0;
    for (const char c : line + " ") {
      if (c == '#' && depth == 0 && word.empty()) break;
      depth += c == '{' ? 1 : c == '}' ? -1 : 0;
      if ((c == ' ' || c == '\t') && depth == 0) {
        if (!word.empty()) words_.push_back(word);
        word.clear();
      } else {
        word += c;
      }
    }
    if (depth != 0) return wrong("braces do not match");
    return parse_words();
  }

  bool parse_linux(const std::string& rest) {
    if (rest.compare(0, 4, "same") == 0) {
      script_.linux_same = true;
      return true;
    }
    const size_t open = rest.find('"'), close = rest.rfind('"');
    if (rest.compare(0, 7, "differs") != 0 || open == close || open == std::string::npos) {
      return wrong("expected `linux same` or `linux differs \"RFC clause and why\"`");
    }
    script_.linux_differs = rest.substr(open + 1, close - open - 1);
    if (script_.linux_differs.find("RFC ") == std::string::npos) {
      return wrong("a difference from Linux must name a clause (RFC …)");
    }
    return true;
  }

  bool more() const { return next_ < words_.size(); }
  std::string take() { return more() ? words_[next_++] : std::string(); }
  bool take_duration(Duration& to, const char* what) {
    const std::string word = take();
    const auto value = parse_duration(word);
    if (!value) return wrong(std::string(what) + " needs a time like 10ms, got `" + word + "`");
    to = *value;
    return true;
  }

  bool parse_words() {
    Line line;
    line.number = number_;
    std::string word = take();
    if (word == "set") return parse_set();
    if (word == "at" || word == "after") {
      line.when = word == "at" ? Line::When::at : Line::When::after;
      if (!take_duration(line.time, word.c_str())) return false;
      word = take();
    }
    if (word == "within") {
      if (!parse_within(line)) return false;
      word = take();
      if (word != "out") return wrong("`within` is followed by `out`, not by `" + word + "`");
    }
    if (word == "out" && line.latest == Duration(0)) line.latest = std::chrono::milliseconds(1);
    if (word == "none") {
      line.kind = Line::Kind::none;
      if (take() != "for") return wrong("expected `none for TIME`");
      if (!take_duration(line.latest, "none for")) return false;
    } else if (word == "in" || word == "out") {
      line.kind = word == "in" ? Line::Kind::in : Line::Kind::out;
      if (!parse_shape(line)) return false;
    } else if (word == "app" || word == "state") {
      line.kind = word == "app" ? Line::Kind::app : Line::Kind::state;
      line.word = take();
      line.argument = take();
      if (line.word.empty()) return wrong("`" + word + "` needs a word behind it");
      if (word == "app" && !app_ok(line)) return false;
    } else if (word == "connected") {
      line.kind = Line::Kind::connected;
      line.word =
          more() && (words_[next_] == "active" || words_[next_] == "passive") ? take() : "passive";
      if (!parse_fields(line.shape)) return false;
    } else {
      return wrong(
          "expected set, at, after, within, in, out, none, app, state or connected, got `" + word +
          "`");
    }
    if (more()) return wrong("`" + words_[next_] + "` is too much");
    script_.lines.push_back(line);
    return true;
  }

  bool app_ok(const Line& line) {
    static const std::set<std::string> kPlain = {"listen", "accept", "connect", "shutdown",
                                                 "close",  "abort",  "eof",     "not-readable"};
    static const std::set<std::string> kNumber = {"write", "read", "write-urgent", "urgent"};
    static const std::set<std::string> kError = {"error", "write-fails"};
    if (kPlain.contains(line.word)) {
      return line.argument.empty() ? true : wrong("`app " + line.word + "` takes no argument");
    }
    if (kNumber.contains(line.word)) {
      return to_number(line.argument) ? true
                                      : wrong("`app " + line.word + "` needs a number of bytes");
    }
    if (kError.contains(line.word)) {
      return !line.argument.empty() ? true : wrong("`app " + line.word + "` needs which");
    }
    return wrong("the program cannot `" + line.word + "`");
  }

  bool parse_set() {
    const std::string key = take(), value = take();
    const auto known = kSettings.find(key);
    if (known == kSettings.end()) return wrong("there is no setting `" + key + "`");
    const bool ok = known->second == 'd'   ? parse_duration(value).has_value()
                    : known->second == 'n' ? to_number(value).has_value()
                    : known->second == 'b' ? value == "on" || value == "off"
                                           : value == "reno" || value == "cubic";
    if (!ok) return wrong("`" + value + "` is no value for `" + key + "`");
    if (more()) return wrong("`" + words_[next_] + "` is too much");
    script_.settings[key] = value;
    return true;
  }

  bool parse_within(Line& line) {
    const std::string word = take();
    const size_t dots = word.find("..");
    const auto from = dots == std::string::npos ? std::optional<Duration>(Duration(0))
                                                : parse_duration(word.substr(0, dots));
    const auto to = parse_duration(dots == std::string::npos ? word : word.substr(dots + 2));
    if (!from || !to || *to < *from) {
      return wrong("`within` needs a time or FROM..TO, got `" + word + "`");
    }
    line.earliest = *from;
    line.latest = *to;
    return true;
  }

  bool parse_shape(Line& line) {
    const std::string word = take();
    if (word == "icmp") {
      line.shape.icmp = take();
      if (line.kind == Line::Kind::out) return wrong("icmp can only arrive");
      if (line.shape.icmp != "frag-needed" && line.shape.icmp != "unreachable") {
        return wrong("icmp is frag-needed or unreachable, not `" + line.shape.icmp + "`");
      }
    } else if (!parse_flags(word, line.shape)) {
      return false;
    }
    return parse_fields(line.shape);
  }

  bool parse_flags(const std::string& word, Shape& shape) {
    static const std::map<std::string, uint8_t> kFlags = {
        {"FIN", tcp::kFin}, {"SYN", tcp::kSyn}, {"RST", tcp::kRst},
        {"PSH", tcp::kPsh}, {"ACK", tcp::kAck}, {"URG", tcp::kUrg},
        {"ECE", tcp::kEce}, {"CWR", tcp::kCwr}, {"NONE", 0}};
    std::istringstream in(word);
    std::string one;
    if (word.empty()) return wrong("expected flags, such as SYN,ACK");
    while (std::getline(in, one, ',')) {
      const auto found = kFlags.find(one);
      if (found == kFlags.end()) return wrong("there is no flag `" + one + "`");
      shape.flags |= found->second;
    }
    shape.push_given = (shape.flags & tcp::kPsh) != 0;
    return true;
  }

  bool parse_fields(Shape& shape) {
    while (more()) {
      const std::string word = take();
      if (word.size() > 1 && word[0] == '*') {
        const auto times = to_number(word.substr(1));
        if (!times || *times == 0) return wrong("`" + word + "`: how many times?");
        shape.times = *times;
      } else if (word.compare(0, 5, "opts{") == 0 && word.back() == '}') {
        if (!parse_options(word.substr(5, word.size() - 6), shape)) return false;
      } else if (!parse_field(word, shape)) {
        return false;
      }
    }
    return true;
  }

  bool parse_field(const std::string& word, Shape& shape) {
    if (word == "badsum") return shape.bad_checksum = true;
    if (word == "fragment") return shape.fragment = true;
    if (word == "ce") return shape.ce = true;
    if (word == "ect" || word == "no-ect") {
      shape.ect = word == "ect";
      return true;
    }
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    static const std::map<std::string, std::optional<uint32_t> Shape::*> kFields = {
        {"seq", &Shape::seq},    {"ack", &Shape::ack},    {"win", &Shape::window},
        {"len", &Shape::length}, {"urg", &Shape::urgent}, {"mtu", &Shape::mtu},
        {"code", &Shape::code}};
    const auto found = kFields.find(key);
    if (found == kFields.end() || equals == std::string::npos) {
      return wrong("`" + word + "` is no field");
    }
    return parse_value(word.substr(equals + 1), shape.*(found->second), word);
  }

  // A number, a negative number (before the start), or a sum such as 1+1000.
  bool parse_value(const std::string& text, std::optional<uint32_t>& to, const std::string& word) {
    uint32_t total = 0;
    if (text.empty()) return wrong("`" + word + "` needs a number");
    std::istringstream in(text);
    std::string part;
    while (std::getline(in, part, '+')) {
      const bool negative = part.size() > 1 && part[0] == '-';
      const auto value = to_number(negative ? part.substr(1) : part);
      if (!value) return wrong("`" + word + "` needs a number");
      total += negative ? 0 - *value : *value;
    }
    to = total;
    return true;
  }

  bool parse_options(const std::string& text, Shape& shape) {
    std::istringstream in(text);
    std::string word;
    while (in >> word) {
      if (word == "sack-ok" || word == "no-sack-ok") {
        shape.sack_permitted = word == "sack-ok";
      } else if (word == "ts" || word == "no-ts") {
        shape.timestamps = word == "ts";
      } else if (word == "no-sack") {
        shape.blocks.emplace();
      } else if (word == "ecr=last") {
        shape.echo_last = true;
      } else if (word.compare(0, 5, "sack=") == 0) {
        if (!parse_blocks(word.substr(5), shape)) return false;
      } else {
        static const std::map<std::string, std::optional<uint32_t> Shape::*> kFields = {
            {"mss", &Shape::mss},
            {"wscale", &Shape::shift},
            {"val", &Shape::ts_value},
            {"ecr", &Shape::ts_echo}};
        const size_t equals = word.find('=');
        const auto found = kFields.find(word.substr(0, equals));
        if (found == kFields.end() || equals == std::string::npos) {
          return wrong("`" + word + "` is no option");
        }
        if (!parse_value(word.substr(equals + 1), shape.*(found->second), word)) return false;
        if (word[0] == 'v' || word[0] == 'e') shape.timestamps = true;
      }
    }
    return true;
  }

  bool parse_blocks(const std::string& text, Shape& shape) {
    shape.blocks.emplace();
    std::istringstream in(text);
    std::string one;
    while (std::getline(in, one, ',')) {
      const size_t dash = one.find('-');
      const auto begin = to_number(one.substr(0, dash));
      const auto end = dash == std::string::npos ? std::nullopt : to_number(one.substr(dash + 1));
      if (!begin || !end) return wrong("`" + one + "` is no block: expected BEGIN-END");
      shape.blocks->emplace_back(*begin, *end);
    }
    if (shape.blocks->size() > tcp::SegmentOptions::kSackMax) return wrong("more than 4 blocks");
    return true;
  }

  Script script_;
  std::string problem_;
  std::vector<std::string> words_;
  size_t next_ = 0;
  uint32_t number_ = 0;
};

}  // namespace

std::optional<Duration> parse_duration(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  const auto value = to_number(text.substr(0, digits));
  const std::string unit = text.substr(digits);
  if (!value) return std::nullopt;
  if (unit == "us") return std::chrono::microseconds(*value);
  if (unit == "ms") return std::chrono::milliseconds(*value);
  if (unit == "s") return std::chrono::seconds(*value);
  if (unit == "min") return std::chrono::minutes(*value);
  if (unit.empty() && *value == 0) return Duration(0);
  return std::nullopt;
}

uint32_t Script::number(const std::string& key, uint32_t otherwise) const {
  const auto found = settings.find(key);
  return found == settings.end() ? otherwise : to_number(found->second).value_or(otherwise);
}
Duration Script::duration(const std::string& key, Duration otherwise) const {
  const auto found = settings.find(key);
  return found == settings.end() ? otherwise : parse_duration(found->second).value_or(otherwise);
}
bool Script::on(const std::string& key, bool otherwise) const {
  const auto found = settings.find(key);
  return found == settings.end() ? otherwise : found->second == "on";
}

Result<Script> parse_script(const std::string& path, const std::string& text) {
  return Parser(path).run(text);
}

Result<Script> load_script(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail(Code::not_found, "cannot read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return parse_script(path, text.str());
}

}  // namespace paste::scripts
