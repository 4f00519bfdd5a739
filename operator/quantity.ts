/** Kubernetes quantities (`500m`, `1.5`, `2Gi`), as far as multiplying a template's resources needs them. */

const QUANTITY = /^([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/;

/** `quantity` times a whole `factor`, in the same unit. A quantity of another form (1e3) is answered unchanged with factor 1, else throws RangeError. */
export function multiplyQuantity(quantity: number | string, factor: number): string {
  const text = String(quantity);
  if (factor === 1) return text;
  const match = QUANTITY.exec(text);
  if (match === null) throw new RangeError(`cannot multiply the quantity "${text}"`);
  // Six decimals are more than a quantity keeps (it rounds up to nano only for "n"), and hide binary fractions.
  const product = Number((Number(match[1]) * factor).toFixed(6));
  return `${product}${match[2] ?? ''}`;
}
