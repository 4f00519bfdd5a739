/**
 * What runs inside pages: as text, since it belongs to another world. Each is a function of one argument. Pages are
 * hostile: what comes back is checked and cut here again.
 */

/** Elements that a person could use, from the top of the page on: `{limit, nodes}` → `{elements, infos}`. */
export const COLLECT = `({ limit, nodes }) => {
  const TAGS = new Set(['a', 'button', 'input', 'select', 'textarea', 'summary', 'option', 'label']);
  const ROLES = new Set(['button', 'link', 'checkbox', 'radio', 'tab', 'menuitem', 'option', 'switch', 'combobox',
    'textbox', 'searchbox', 'slider', 'spinbutton', 'treeitem']);
  const elements = [], infos = [];
  let seen = 0;
  const usable = (element) => {
    const tag = element.localName;
    if (tag === 'label' || tag === 'option') return false;
    if (tag === 'a') return element.hasAttribute('href') || element.hasAttribute('onclick');
    if (tag === 'input' && element.type === 'hidden') return false;
    if (TAGS.has(tag)) return !element.disabled;
    if (ROLES.has(element.getAttribute('role')) || element.hasAttribute('onclick')) return true;
    if (element.isContentEditable && !element.parentElement?.isContentEditable) return true;
    return element.hasAttribute('tabindex') && element.tabIndex >= 0;
  };
  const visible = (element) => {
    const box = element.getBoundingClientRect();
    if (box.width === 0 && box.height === 0) return element.localName === 'input' && element.type === 'file';
    const style = getComputedStyle(element);
    return style.visibility !== 'hidden' && style.display !== 'none';
  };
  const cut = (text, length) => String(text ?? '').replace(/\\s+/g, ' ').trim().slice(0, length);
  const labelOf = (element) => {
    const label = element.labels?.[0]?.textContent;
    return cut(element.getAttribute('aria-label') || label || element.title || element.alt || '', 100);
  };
  const describe = (element) => {
    const info = { tag: element.localName, text: cut(element.textContent?.slice(0, 1000), 100) };
    const label = labelOf(element);
    if (label !== '' && label !== info.text) info.label = label;
    for (const name of ['placeholder', 'href', 'role', 'name']) {
      const value = element.getAttribute(name);
      if (value) info[name] = cut(value, name === 'href' ? 300 : 100);
    }
    if (element.localName === 'input') info.type = element.type;
    if (element.localName === 'input' && (element.type === 'checkbox' || element.type === 'radio')) info.checked = element.checked;
    else if ('value' in element && element.type !== 'password' && element.localName !== 'button') {
      const value = cut(element.value, 100);
      if (value !== '') info.value = value;
    }
    if (element.localName === 'select') {
      info.options = [...element.options].slice(0, 50).map((option) => cut(option.label, 60));
      info.text = '';
    }
    return info;
  };
  const walk = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT);
    for (let element = walker.nextNode(); element !== null; element = walker.nextNode()) {
      if (elements.length >= limit || ++seen > nodes) return;
      if (usable(element) && visible(element)) {
        infos.push(describe(element));
        elements.push(element);
      }
      if (element.shadowRoot) walk(element.shadowRoot);
    }
  };
  if (document.documentElement) walk(document.documentElement);
  return { elements, infos, more: elements.length >= limit || seen > nodes };
}`;

/** The text of the page as Markdown: `{links, from, length}` → `{text, more}`. Stops when it has enough. */
export const READ = `({ links, from, length }) => {
  const SKIP = new Set(['script', 'style', 'noscript', 'template', 'svg', 'head', 'iframe', 'canvas']);
  const BLOCK = new Set(['p', 'div', 'section', 'article', 'main', 'header', 'footer', 'ul', 'ol', 'table', 'tr', 'form',
    'blockquote', 'pre', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'li', 'dt', 'dd', 'figure', 'nav', 'aside', 'hr', 'fieldset']);
  const end = from + length + 1;
  const parts = [];
  let size = 0, gap = true;
  const put = (text) => { parts.push(text); size += text.length; };
  const line = () => { if (!gap) put('\\n'); gap = true; };
  const word = (text, raw) => {
    const clean = raw ? text : text.replace(/\\s+/g, ' ');
    const said = gap && !raw ? clean.trimStart() : clean;
    if (said === '' ) return;
    put(said);
    gap = false;
  };
  const before = { h1: '# ', h2: '## ', h3: '### ', h4: '#### ', h5: '##### ', h6: '###### ', li: '- ', blockquote: '> ' };
  const visit = (node, raw, depth) => {
    if (size >= end || depth > 500) return;
    if (node.nodeType === 3) return word(node.data.length > end ? node.data.slice(0, end) : node.data, raw);
    if (node.nodeType !== 1 && node.nodeType !== 11) return;
    const tag = node.localName;
    if (SKIP.has(tag) || (node.nodeType === 1 && getComputedStyle(node).display === 'none')) return;
    if (tag === 'br') return line();
    if (tag === 'img') { if (node.alt) word('![' + node.alt + '] ', raw); return; }
    const block = BLOCK.has(tag);
    if (block) line();
    if (before[tag]) word(before[tag], true);
    if (tag === 'td' || tag === 'th') word('| ', true);
    const link = links && tag === 'a' && /^https?:/.test(node.href);
    if (link) word('[', true);
    for (let child = (node.shadowRoot ?? node).firstChild; child !== null && size < end; child = child.nextSibling)
      visit(child, raw || tag === 'pre', depth + 1);
    if (link) word('](' + node.href.slice(0, 500) + ')', true);
    if (tag === 'td' || tag === 'th') word(' ', true);
    if (block) line();
  };
  if (document.body) visit(document.body, false, 0);
  const all = parts.join('');
  return { text: all.slice(from, from + length), more: all.length > from + length, total: all.length };
}`;
