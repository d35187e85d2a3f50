import { randomBytes } from 'node:crypto';

/** Crockford's base 32, as in the native core: no letter that is mistaken for a digit. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** `req_` and 26 characters (130 random bits): names a request in reports; it is no secret. */
export function requestId(): string {
  return `req_${Array.from(randomBytes(26), byte => ALPHABET[byte & 31]).join('')}`;
}
