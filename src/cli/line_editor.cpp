#include "cli/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <fstream>
#include <utility>
#include <vector>

namespace mlxd::cli {
namespace {

constexpr int kHistorySize = 1000;
constexpr std::size_t kMaxPasteCharacters = std::size_t{1} << 20U;

// The terminal brackets pasted text with these when asked to (xterm's mode 2004).
constexpr std::string_view kPasteModeOn = "\033[?2004h";
constexpr std::string_view kPasteModeOff = "\033[?2004l";
constexpr std::wstring_view kPasteEnd = L"\033[201~";

// libedit converts between bytes and characters by the locale: make sure that it is UTF-8, and nothing else
// changes.
void use_utf8() {
  setlocale(LC_CTYPE, "");
  const char* codeset = nl_langinfo(CODESET);
  if (codeset != nullptr && std::strcmp(codeset, "UTF-8") == 0) return;
  for (const char* name : {"C.UTF-8", "en_US.UTF-8", "UTF-8"})
    if (setlocale(LC_CTYPE, name) != nullptr) return;
}

void write_terminal(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

struct LineEditor::Impl {
  std::filesystem::path history_file;
  std::string prompt;
  std::string last_remembered;
  EditLine* editor = nullptr;
  ::History* history = nullptr;
  bool interrupted = false;

  ~Impl() {
    if (editor != nullptr) el_end(editor);
    if (history != nullptr) history_end(history);
  }

  static Impl& of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<Impl*>(self);
  }
  static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  static unsigned char on_interrupt(EditLine* editor, int /*character*/) {
    of(editor).interrupted = true;
    return CC_NEWLINE;
  }

  // Reads up to the end mark and puts the text into the line, its newlines included: Return is the person's
  // to press.
  static unsigned char on_paste(EditLine* editor, int /*character*/) {
    std::wstring text;
    wchar_t character = 0;
    while (!text.ends_with(kPasteEnd)) {
      if (el_wgetc(editor, &character) != 1) return CC_EOF;
      if (text.size() < kMaxPasteCharacters) {
        text += character == L'\r' ? L'\n' : character;
      } else {  // keep looking for the end mark, drop the rest
        text.erase(text.size() - kPasteEnd.size(), 1);
        text += character;
      }
    }
    text.resize(text.size() - kPasteEnd.size());
    while (!text.empty() && text.back() == L'\n') text.pop_back();
    std::erase_if(
        text, [](wchar_t c) { return c != L'\n' && c != L'\t' && (c < 0x20 || (c >= 0x7F && c < 0xA0)); });
    if (!text.empty() && el_winsertstr(editor, text.c_str()) != 0) el_beep(editor);
    return CC_REFRESH;
  }

  void load_history() {
    std::ifstream file(history_file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
    const std::size_t first = lines.size() > kHistorySize ? lines.size() - kHistorySize : 0;
    for (std::size_t i = first; i < lines.size(); ++i) add_to_memory(decode_history_entry(lines[i]));
    // Twice as long as wanted: keep the newest.
    if (first > kHistorySize) rewrite_file({lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end()});
  }

  void add_to_memory(const std::string& text) {
    if (text.empty()) return;
    HistEvent event{};
    ::history(history, &event, H_ENTER, text.c_str());
    last_remembered = text;
  }

  void rewrite_file(const std::vector<std::string>& lines) const {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    const auto fresh = history_file.string() + "." + std::to_string(getpid());
    if (write_file(fresh, O_CREAT | O_TRUNC | O_WRONLY, text))
      std::rename(fresh.c_str(), history_file.c_str());
  }

  static bool write_file(const std::string& path, int flags, const std::string& text) {
    const int file = open(path.c_str(), flags | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file < 0) return false;
    const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    return close(file) == 0 && written;
  }
};

LineEditor::LineEditor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LineEditor::~LineEditor() = default;

Result<std::unique_ptr<LineEditor>> LineEditor::create(std::filesystem::path history_file) {
  use_utf8();
  auto impl = std::make_unique<Impl>();
  impl->history_file = std::move(history_file);
  impl->editor = el_init("mlxd", stdin, stdout, stderr);
  impl->history = history_init();
  if (impl->editor == nullptr || impl->history == nullptr)
    return Error(ErrorKind::kUnavailable, "cannot edit lines on this terminal: is TERM set?");

  HistEvent event{};
  ::history(impl->history, &event, H_SETSIZE, kHistorySize);
  EditLine* editor = impl->editor;
  el_set(editor, EL_CLIENTDATA, impl.get());
  el_set(editor, EL_PROMPT, &Impl::show_prompt);
  el_set(editor, EL_HIST, &::history, impl->history);
  el_set(editor, EL_EDITOR, "emacs");
  // Ctrl-C is a key here, not a signal: it drops the line instead of the program.
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_set(editor, EL_ADDFN, "mlxd-interrupt", "Drop the line", &Impl::on_interrupt);
  el_set(editor, EL_ADDFN, "mlxd-paste", "Insert pasted text", &Impl::on_paste);
  el_set(editor, EL_BIND, "^C", "mlxd-interrupt", nullptr);
  el_set(editor, EL_BIND, "\\e[200~", "mlxd-paste", nullptr);
  // Ctrl-D typed while the terminal still read by lines, before the first prompt or during an answer, arrives
  // as a NUL: it means the same.
  el_set(editor, EL_BIND, "^@", "em-delete-or-list", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_set(editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_source(editor, nullptr);  // the user's own ~/.editrc has the last word
  if (!impl->history_file.empty()) impl->load_history();
  return std::unique_ptr<LineEditor>(new LineEditor(std::move(impl)));
}

LineEditor::Line LineEditor::read(const std::string& prompt) {
  impl_->prompt = prompt;
  impl_->interrupted = false;
  write_terminal(kPasteModeOn);
  // libedit takes the terminal over only after it has shown the prompt: what is typed in between would be
  // echoed by the terminal and once more by the editor.
  el_set(impl_->editor, EL_PREP_TERM, 1);
  int count = 0;
  const char* text = el_gets(impl_->editor, &count);
  write_terminal(kPasteModeOff);
  if (impl_->interrupted) {
    write_terminal("\n");
    return {Outcome::kInterrupted, text == nullptr ? std::string() : text};
  }
  if (text == nullptr || count <= 0) return {Outcome::kEnd, {}};
  std::string line(text, static_cast<std::size_t>(count));
  if (line.ends_with('\n')) line.pop_back();
  return {Outcome::kLine, std::move(line)};
}

void LineEditor::remember(const std::string& text) {
  if (text.empty() || text == impl_->last_remembered) return;
  impl_->add_to_memory(text);
  if (impl_->history_file.empty()) return;
  Impl::write_file(impl_->history_file.string(), O_CREAT | O_APPEND | O_WRONLY,
                   encode_history_entry(text) + "\n");
}

std::string encode_history_entry(const std::string& text) {
  std::string line;
  for (const char c : text) {
    if (c == '\\')
      line += "\\\\";
    else if (c == '\n')
      line += "\\n";
    else
      line += c;
  }
  return line;
}

std::string decode_history_entry(const std::string& line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\' || i + 1 == line.size()) {
      text += line[i];
      continue;
    }
    ++i;
    text += line[i] == 'n' ? '\n' : line[i];
  }
  return text;
}

}  // namespace mlxd::cli
