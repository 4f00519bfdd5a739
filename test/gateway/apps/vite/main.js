import { text } from './text.js';

const show = (value) => (document.querySelector('h1').textContent = value);
show(text);
import.meta.hot.accept('./text.js', (module) => show(module.text));
