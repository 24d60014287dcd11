import { VermilionError } from "../../pmem/error.js";
import type { SerializedError } from "./protocol.js";

export function serializeError(error: unknown): SerializedError {
  if (!(error instanceof Error)) {
    return { code: undefined, message: String(error), stack: undefined, cause: undefined };
  }
  const { message, stack, cause } = error;
  return {
    code: error instanceof VermilionError ? error.code : undefined,
    message,
    stack,
    cause: cause === undefined ? undefined : serializeError(cause),
  };
}

/** The stack is the worker's: it says where, this thread's would not. */
export function deserializeError({ code, message, stack, cause }: SerializedError): Error {
  const options = cause === undefined ? {} : { cause: deserializeError(cause) };
  const error = code === undefined ? new Error(message, options) : new VermilionError(code, message, options);
  if (stack !== undefined) error.stack = stack;
  return error;
}
