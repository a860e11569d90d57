// Lets the suite start on Node 20, which lacks `fs.globSync`. Only the suite's reports use that.
import fs from 'node:fs';
import { register } from 'node:module';

const shim = "export * from 'node:fs'; export { default } from 'node:fs'; export const globSync = () => [];";
const hook = `export async function resolve(specifier, context, next) {
  if (specifier === 'fs' && /\\/conformance[^/]*\\/dist\\//.test(context.parentURL)) {
    return { url: 'data:text/javascript,' + ${JSON.stringify(encodeURIComponent(shim))}, shortCircuit: true };
  }
  return next(specifier, context);
}`;
if (!fs.globSync) register('data:text/javascript,' + encodeURIComponent(hook));
