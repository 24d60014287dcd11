// Runs one JavaScript file in QuickJS, with `print` and `scriptArgs`, until no job is left.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "quickjs.h"

static JSValue print(JSContext *context, JSValueConst self, int argc, JSValueConst *argv) {
  (void)self;
  for (int i = 0; i < argc; i++) {
    const char *text = JS_ToCString(context, argv[i]);
    if (text == NULL) return JS_EXCEPTION;
    printf("%s%s", i == 0 ? "" : " ", text);
    JS_FreeCString(context, text);
  }
  printf("\n");
  return JS_UNDEFINED;
}

static int report(JSContext *context) {
  JSValue error = JS_GetException(context);
  const char *text = JS_ToCString(context, error);
  fprintf(stderr, "quickjs: %s\n", text == NULL ? "an exception without a text" : text);
  return 1;
}

int main(int argc, char **argv) {
  static char source[1 << 20];
  FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
  if (file == NULL) {
    fprintf(stderr, "quickjs: cannot read the script\n");
    return 2;
  }
  size_t length = fread(source, 1, sizeof source - 1, file);
  fclose(file);
  JSRuntime *runtime = JS_NewRuntime();
  JS_SetMaxStackSize(runtime, 0);
  JSContext *context = JS_NewContext(runtime);
  JSValue global = JS_GetGlobalObject(context), arguments = JS_NewArray(context);
  for (int i = 2; i < argc; i++) JS_SetPropertyUint32(context, arguments, (uint32_t)i - 2, JS_NewString(context, argv[i]));
  JS_SetPropertyStr(context, global, "scriptArgs", arguments);
  JS_SetPropertyStr(context, global, "print", JS_NewCFunction(context, print, "print", 1));
  JSValue result = JS_Eval(context, source, length, argv[1], JS_EVAL_TYPE_GLOBAL);
  if (JS_IsException(result)) return report(context);
  JSContext *job_context;
  for (int status; (status = JS_ExecutePendingJob(runtime, &job_context)) != 0;) {
    if (status < 0) return report(job_context);
  }
  JS_FreeValue(context, result);
  JS_FreeValue(context, global);
  JS_FreeContext(context);
  JS_FreeRuntime(runtime);
  return 0;
}
