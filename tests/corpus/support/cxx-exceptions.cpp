// A small exception runtime for C++ compiled with -fwasm-exceptions: Debian's libc++abi for wasm32 is built without one.
// Every throw is a WebAssembly exception with the tag __cpp_exception that carries the address of a `Header`; a landing
// pad hands it to _Unwind_CallPersonality, which finds the matching catch clause in the function's exception table.
// Not here: exception specifications, exception_ptr, foreign exceptions, threads.
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <typeinfo>

namespace __cxxabiv1 {
// The library's own class, of which only the order of the virtual functions matters here.
class __shim_type_info : public std::type_info {
public:
  ~__shim_type_info() override;
  virtual void noop1() const;
  virtual void noop2() const;
  virtual bool can_catch(const __shim_type_info *thrown_type, void *&adjusted) const = 0;
};
} // namespace __cxxabiv1

namespace {

using Type = __cxxabiv1::__shim_type_info;

struct Header {
  const Type *type;
  void *(*destroy)(void *); // on WebAssembly a destructor returns its argument
  void *adjusted;    // the object as the type of the matching catch clause
  int handler_count; // catch blocks that hold it; negative: one of them rethrew it
  Header *outer;     // the exception that was being handled before this one
};

constexpr std::size_t header_bytes = (sizeof(Header) + 15) / 16 * 16;

Header *header_of(void *object) { return reinterpret_cast<Header *>(static_cast<char *>(object) - header_bytes); }
void *object_of(Header *header) { return reinterpret_cast<char *>(header) + header_bytes; }

Header *handled; // innermost first

std::uint32_t unsigned_leb(const std::uint8_t *&at) {
  std::uint32_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    std::uint8_t byte = *at++;
    value |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
}

std::int32_t signed_leb(const std::uint8_t *&at) {
  std::uint32_t value = 0;
  for (unsigned shift = 0;;) {
    std::uint8_t byte = *at++;
    value |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    shift += 7;
    if ((byte & 0x80) != 0) continue;
    if ((byte & 0x40) != 0 && shift < 32) value |= ~0u << shift;
    return static_cast<std::int32_t>(value);
  }
}

} // namespace

extern "C" {

// The compiled code writes the first two members before, and reads the third after, _Unwind_CallPersonality.
struct {
  std::uint32_t landing_pad;
  const std::uint8_t *table; // Itanium LSDA with call sites as (landing pad, action) pairs, one for each landing pad
  std::int32_t selector;     // 0: no clause of this function matches
} __wasm_lpad_context;

int __gxx_wasm_personality_v0;

// Its result, a reason code, is for unwinders that search first; nothing reads it.
int _Unwind_CallPersonality(void *exception) {
  Header *header = static_cast<Header *>(exception);
  __wasm_lpad_context.selector = 0;
  const std::uint8_t *at = __wasm_lpad_context.table;
  if (at == nullptr) return 0;
  if (*at++ != 0xff) abort(); // a start of the landing pads, which WebAssembly does not have
  const std::uint8_t *types_end = nullptr;
  if (*at++ != 0xff) {
    std::uint32_t offset = unsigned_leb(at);
    types_end = at + offset;
  }
  at++; // the encoding of call sites is uleb128
  std::uint32_t call_site_bytes = unsigned_leb(at);
  const std::uint8_t *actions = at + call_site_bytes;
  std::uint32_t action = 0;
  for (std::uint32_t i = 0; i <= __wasm_lpad_context.landing_pad; i++) {
    unsigned_leb(at);
    action = unsigned_leb(at);
  }
  if (action == 0) return 0; // destructors only
  at = actions + action - 1;
  for (;;) {
    std::int32_t index = signed_leb(at);
    const std::uint8_t *link = at;
    std::int32_t next = signed_leb(at);
    if (index > 0) {
      const Type *wanted = reinterpret_cast<const Type *const *>(types_end)[-index];
      void *adjusted = object_of(header);
      if (wanted == nullptr || wanted->can_catch(header->type, adjusted)) {
        header->adjusted = adjusted;
        __wasm_lpad_context.selector = index;
        return 0;
      }
    }
    if (next == 0) return 0;
    at = link + next;
  }
}

void *__cxa_allocate_exception(std::size_t byte_length) noexcept {
  void *block = std::calloc(1, header_bytes + byte_length);
  if (block == nullptr) std::terminate();
  return static_cast<char *>(block) + header_bytes;
}

void __cxa_free_exception(void *object) noexcept { std::free(header_of(object)); }

void __cxa_throw(void *object, std::type_info *type, void *(*destroy)(void *)) {
  Header *header = header_of(object);
  header->type = static_cast<const Type *>(type);
  header->destroy = destroy;
  header->adjusted = object;
  __builtin_wasm_throw(0, header);
}

void *__cxa_get_exception_ptr(void *exception) noexcept { return static_cast<Header *>(exception)->adjusted; }

void *__cxa_begin_catch(void *exception) noexcept {
  Header *header = static_cast<Header *>(exception);
  header->handler_count = (header->handler_count < 0 ? -header->handler_count : header->handler_count) + 1;
  if (handled != header) {
    header->outer = handled;
    handled = header;
  }
  return header->adjusted;
}

void __cxa_end_catch() {
  Header *header = handled;
  if (header == nullptr) return;
  if (header->handler_count < 0) {
    // It was rethrown and is on its way: only this block lets go of it.
    if (++header->handler_count == 0) handled = header->outer;
    return;
  }
  if (--header->handler_count > 0) return;
  handled = header->outer;
  if (header->destroy != nullptr) header->destroy(object_of(header));
  std::free(header);
}

void __cxa_rethrow() {
  Header *header = handled;
  if (header == nullptr) std::terminate();
  header->handler_count = -header->handler_count;
  __builtin_wasm_throw(0, header);
}

} // extern "C"
